//! `causeway-load`: the command line around [`causeway_bench::run`].

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use causeway_bench::args::Args;
use causeway_bench::node::Node;
use causeway_bench::process::Process;
use causeway_bench::report::Report;
use causeway_bench::rest::Rest;
use causeway_bench::run::{Progress, run};
use causeway_bench::signals;
use causeway_bench::table::Table;
use clap::Parser;

/// The run could not be done.
const NOT_DONE: u8 = 2;

fn main() -> ExitCode {
    match load(Args::parse()) {
        Ok(report) => {
            print!("{}", Table(&report));
            ExitCode::from(report.verdict.exit_code())
        }
        Err(error) => {
            eprintln!("causeway-load: {error}");
            ExitCode::from(NOT_DONE)
        }
    }
}

fn load(mut args: Args) -> Result<Report, Box<dyn Error>> {
    let (plan, token) = (args.plan(), args.token());
    let stop = signals::flag()?;
    let node = args.spawn.as_ref().map(|program| Node::spawn(program, &args.node)).transpose()?;
    let api = node.as_ref().map_or(&args.api, Node::api).clone();
    let pid = node.as_ref().map(Node::pid).or(args.server_pid);
    let server = pid
        .map(Process::new)
        .transpose()
        .map_err(|error| format!("the node's process cannot be looked at: {error}"))?;
    let report = run(&plan, &Rest::new(api, token), server.as_ref(), &stop, &mut say)?;
    if let Some(file) = &args.json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(report)
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
