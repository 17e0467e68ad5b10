//! `causeway-load`: the command line around [`causeway_bench::run`].

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use causeway_bench::args::Args;
use causeway_bench::door::{Door, NgDoor};
use causeway_bench::ng::beside::{self, Beside};
use causeway_bench::ng::client::NgClient;
use causeway_bench::ng::job as calls;
use causeway_bench::node::Node;
use causeway_bench::process::Process;
use causeway_bench::rest::Rest;
use causeway_bench::run::{Flags, Progress, run};
use causeway_bench::signals;
use causeway_bench::table::Table;
use causeway_bench::turn::job::Job;
use clap::Parser;
use serde::Serialize;

/// The run could not be done.
const NOT_DONE: u8 = 2;

fn main() -> ExitCode {
    match load(Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("causeway-load: {error}");
            ExitCode::from(NOT_DONE)
        }
    }
}

/// Does what the command line says, prints what came of it, and returns the exit code.
fn load(mut args: Args) -> Result<u8, Box<dyn Error>> {
    let (plan, token) = (args.plan(), args.token());
    let stop = signals::flag()?;
    if let Some(job) = Job::of(&args) {
        let report = job.run(&stop, &mut |words| eprintln!("{words}"))?;
        write(&args, &report)?;
        print!("{report}");
        return Ok(report.exit_code());
    }
    if let Some(job) = calls::Job::of(&args) {
        let report = job.run(&stop, &mut |words| eprintln!("{words}"), &mut say)?;
        write(&args, &report)?;
        print!("{report}");
        return Ok(report.comparison.exit_code());
    }
    let node = args.spawn.as_ref().map(|program| Node::spawn(program, &args.node)).transpose()?;
    let api = node.as_ref().map_or(&args.api, Node::api).clone();
    let pid = node.as_ref().map(Node::pid).or(args.server_pid);
    let server = pid
        .map(Process::new)
        .transpose()
        .map_err(|error| format!("the node's process cannot be looked at: {error}"))?;
    let rest = Rest::new(api, token);
    let Some(ng) = args.ng else {
        let (mut door, enough) = (Door::Rest(&rest), AtomicBool::new(false));
        let flags = Flags { stop: &stop, enough: &enough };
        let report = run(&plan, &mut door, server.as_ref(), flags, &mut say)?;
        write(&args, &report)?;
        print!("{}", Table(&report));
        return Ok(report.verdict.exit_code());
    };
    let name = format!("load{}", std::process::id());
    let client = NgClient::new(ng, &name)?;
    let rest = node.is_some().then_some(&rest);
    let mut door = Door::Ng(NgDoor { client, run: &name, sdes: args.sdes, rest });
    let asked = args.signalling();
    let beside = asked.as_ref().map(|asked| Beside { server: ng, asked, run: &name });
    let report = beside::run(&plan, &mut door, server.as_ref(), &stop, beside, &mut say)?;
    write(&args, &report)?;
    print!("{}{report}", Table(&report.media));
    Ok(report.exit_code())
}

fn write(args: &Args, report: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let Some(file) = &args.json else { return Ok(()) };
    fs::write(file, serde_json::to_vec_pretty(report)?)
        .map_err(|error| format!("{}: {error}", file.display()).into())
}

fn say(progress: &Progress) {
    let node = progress.node.map(|cores| format!("  node {:.0} %", 100.0 * cores));
    eprintln!(
        "{:>4.0} s  {:<5}calls {} up {}  sent {}/s received {}/s  missing {} wrong {} late {}  \
         p50 {} us p99 {} us{}  generator {:.0} %",
        progress.elapsed.as_secs_f64(),
        progress.phase,
        progress.calls,
        progress.up,
        progress.sent,
        progress.received,
        progress.missing,
        progress.wrong,
        progress.late,
        progress.latency_us.p50,
        progress.latency_us.p99,
        node.unwrap_or_default(),
        100.0 * progress.own,
    );
}
