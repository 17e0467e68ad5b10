//! `causeway-load`: the command line around [`causeway_bench::job`].

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use causeway_bench::about::About;
use causeway_bench::args::Args;
use causeway_bench::html::Show;
use causeway_bench::run::Progress;
use causeway_bench::{floor, html, job, signals, turn};
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
    if let Some(address) = args.floor {
        return floor::run(address).map(|never| match never {});
    }
    let stop = signals::flag()?;
    let say = |words: &str| eprintln!("{words}");
    if let Some(job) = turn::job::Job::of(&args) {
        let about = About::now(job.servers());
        let report = job.run(&stop, &say)?;
        write(&args, about, &report)?;
        return Ok(report.exit_code());
    }
    let job = job::Job::of(&mut args)?;
    let about = About::now(job.servers());
    let report = job.run(&stop, &say, &mut tell)?;
    write(&args, about, &report)?;
    Ok(report.exit_code())
}

/// What is written as JSON.
#[derive(Serialize)]
struct Document<'a, R> {
    about: About,
    #[serde(flatten)]
    report: &'a R,
}

/// To standard output, and to the files that are named.
fn write<R>(args: &Args, about: About, report: &R) -> Result<(), Box<dyn Error>>
where
    R: Serialize + Display + Show,
{
    print!("{report}");
    if let Some(file) = &args.html {
        save(file, html::page(report, &about).as_bytes())?;
    }
    if let Some(file) = &args.json {
        save(file, &serde_json::to_vec_pretty(&Document { about, report })?)?;
    }
    Ok(())
}

fn save(file: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}

fn tell(progress: &Progress) {
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
