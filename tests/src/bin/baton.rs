//! The second runner: a process that takes over what another one serves.
//!
//! `baton PATH [BACKEND [WORKERS]]` connects to the Unix socket, takes over, says `serving`, and serves
//! until its standard input ends. What went wrong is its last word.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use causeway_engine::Engine;
use causeway_engine::config::{BackendChoice, EngineConfig};
use causeway_engine::export::TakenOver;

/// How often the workers' events are looked at.
const GLANCE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let backend = match arguments.next().as_deref() {
        Some("uring") => BackendChoice::Uring,
        Some("mmsg") => BackendChoice::Mmsg,
        _ => BackendChoice::Auto,
    };
    let workers = arguments.next().and_then(|workers| workers.parse().ok()).unwrap_or(1);
    let config =
        EngineConfig { backend, workers: vec![None; workers], ..EngineConfig::default() };
    match UnixStream::connect(path).map_err(Into::into).and_then(|stream| take(&config, &stream)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn take(config: &EngineConfig, stream: &UnixStream) -> Result<(), Box<dyn std::error::Error>> {
    let TakenOver { engine, mut links, legs, sockets } = Engine::take_over(config, stream)?;
    println!("serving {} legs on {} sockets", legs.len(), sockets.len());
    let input = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    while !input.is_finished() {
        for link in &mut links {
            while link.event().is_some() {}
            while link.punt().is_some() {}
        }
        thread::sleep(GLANCE);
    }
    engine.stop(links);
    Ok(())
}
