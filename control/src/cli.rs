//! The command line: what to do, and the configuration to do it with.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::auth::{Scope, TokenHash, fresh_token};
use crate::check;
use crate::config::{Fault, Host, Loaded, Sources, load};

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the node.
    Run(Box<Loaded>),
    /// Print this and exit well.
    Print(String),
}

/// Why nothing can be done.
#[derive(Debug)]
pub enum Refusal {
    /// The command line is wrong, or asks for help; clap prints it and knows the exit code.
    Usage(clap::Error),
    /// The configuration is wrong; the exit code is 1.
    Faults(Vec<Fault>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Faults(faults) => {
                writeln!(f, "the configuration has {} fault(s):", faults.len())?;
                faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))
            }
        }
    }
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

/// Reads the arguments (the program's name first) and the environment, and loads the
/// configuration where the command needs it.
///
/// # Errors
/// A [`Refusal`] to print; every fault of the configuration is in it.
pub fn command(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    host: &Host,
) -> Result<Command, Refusal> {
    let line = Line::try_parse_from(arguments)?;
    let text = |os: OsString| os.into_string().ok();
    let environment =
        environment.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    match line.verb.unwrap_or(Verb::Run) {
        Verb::Run => Ok(Command::Run(Box::new(line.flags.load(environment, host)?))),
        Verb::Check => Ok(Command::Print(check::report(&line.flags.load(environment, host)?)?)),
        Verb::Token { name, scopes } => Ok(Command::Print(token(&name, &scopes))),
    }
}

/// causeway: a media node for real-time calls.
#[derive(Debug, Parser)]
#[command(name = "causeway", version)]
struct Line {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the node (the default).
    Run,
    /// Check the configuration; print it as it takes effect and the firewall rules that it needs.
    Check,
    /// Make an API token; print it and the lines for the configuration file.
    Token {
        /// Whose it is.
        #[arg(long, default_value = "token", value_parser = token_name)]
        name: String,
        /// What it is good for.
        #[arg(long, value_delimiter = ',', default_value = "read,call")]
        scopes: Vec<Scope>,
    },
}

/// Each overrides the file and the environment.
#[derive(Debug, Args)]
struct Flags {
    /// The configuration file (TOML); CAUSEWAY_CONFIG.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the admin listener listens.
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// Where the public listener listens.
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    public: Option<String>,
    /// Where HTTPS, TURN and ICE over TCP share a port, such as 0.0.0.0:443.
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    edge: Option<String>,
    /// Where SIP proxies ask over the ng protocol, by UDP.
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    ng: Option<String>,
    /// The first interface's address on this host.
    #[arg(long, global = true, value_name = "ADDRESS")]
    bind: Option<String>,
    /// The address that the world sees: an address, auto, aws, gcp, azure.
    #[arg(long, global = true, value_name = "ADDRESS")]
    announce: Option<String>,
    /// The first interface's dedicated ports.
    #[arg(long, global = true, value_name = "LOW-HIGH")]
    ports: Option<String>,
    /// The first interface's first shared port.
    #[arg(long, global = true, value_name = "PORT")]
    mux_port: Option<String>,
    /// The cores that workers run on, such as 1,4-7.
    #[arg(long, global = true, value_name = "CORES")]
    workers: Option<String>,
    /// The I/O backend: auto, uring, mmsg.
    #[arg(long, global = true, value_name = "BACKEND")]
    backend: Option<String>,
    /// A user of the TURN server; can be given more than once.
    #[arg(long, global = true, value_name = "NAME:PASSWORD")]
    turn_user: Vec<String>,
}

impl Flags {
    fn load(
        self,
        environment: impl Iterator<Item = (String, String)>,
        host: &Host,
    ) -> Result<Loaded, Refusal> {
        let mut sources = Sources { environment: environment.collect(), ..Sources::default() };
        let variable = sources.environment.iter().find(|(name, _)| name == "CAUSEWAY_CONFIG");
        let path = self.config.clone().or(variable.map(|(_, path)| path.into()));
        if let Some(path) = path {
            sources.read_file(&path).map_err(|fault| Refusal::Faults(vec![fault]))?;
        }
        sources.flags = self.overrides();
        load(&sources, host).map_err(Refusal::Faults)
    }

    fn overrides(self) -> Vec<(&'static str, [&'static str; 2], String)> {
        let users = (!self.turn_user.is_empty()).then(|| self.turn_user.join("\n"));
        [
            ("--http", ["http", "listen"], self.http),
            ("--public", ["public", "listen"], self.public),
            ("--edge", ["edge", "listen"], self.edge),
            ("--ng", ["ng", "udp"], self.ng),
            ("--bind", ["interface", "bind"], self.bind),
            ("--announce", ["interface", "announce"], self.announce),
            ("--ports", ["interface", "ports"], self.ports),
            ("--mux-port", ["interface", "mux_port"], self.mux_port),
            ("--workers", ["node", "workers"], self.workers),
            ("--backend", ["node", "backend"], self.backend),
            ("--turn-user", ["turn", "users"], users),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, value?)))
        .collect()
    }
}

fn token_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if (1..=63).contains(&text.len()) && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err("allowed are 1 to 63 letters, digits, `-`, `.` and `_`".into())
}

fn token(name: &str, scopes: &[Scope]) -> String {
    let token = fresh_token();
    let hash = TokenHash::of(&token);
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("\"{}\"", scope.name())).collect();
    format!(
        "{}\n\n# The token is shown once. These lines go into the configuration file:\n\
         [[auth.token]]\nname = \"{name}\"\nhash = \"{hash}\"\nscopes = [{}]\n",
        token.as_str(),
        scopes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ApiTokens;
    use crate::config::{Config, Ports};

    fn host() -> Host {
        Host { cores: vec![0, 1, 2, 3], descriptors: 20_000 }
    }

    fn ask(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, Refusal> {
        let words = std::iter::once(&"causeway").chain(arguments).map(Into::into);
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        command(words, environment, &host())
    }

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
        match ask(arguments, environment) {
            Ok(Command::Run(loaded)) => loaded.config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_said_runs_on_loopback_alone() {
        let config = run(&[], &[]);
        assert!(config.http.listen.ip().is_loopback() && config.public.listen.ip().is_loopback());
        assert!(config.interface[0].bind.is_loopback());
        assert_eq!(config.node.workers, [1, 2, 3]);
        assert!(config.desk());
    }

    #[test]
    fn flags_override_the_environment_before_and_after_the_verb() {
        let environment = [("CAUSEWAY_NODE_WORKERS", "0"), ("CAUSEWAY_NODE_BACKEND", "mmsg")];
        let config = run(&["--ports", "20000-20009", "run", "--workers", "2-3"], &environment);
        assert_eq!(config.node.workers, [2, 3]);
        assert_eq!(config.interface[0].ports, Some(Ports { low: 20_000, high: 20_009 }));
        assert_eq!(config.node.backend, crate::config::Backend::Mmsg);
    }

    #[test]
    fn ng_is_off_until_a_flag_or_a_variable_names_its_door() {
        let door = |port| Some(([127, 0, 0, 1], port).into());
        assert_eq!(run(&[], &[]).ng.udp, None);
        let environment =
            [("CAUSEWAY_NG_UDP", "127.0.0.1:2223"), ("CAUSEWAY_NG_PEERS", "[\"::1\"]")];
        let config = run(&[], &environment);
        assert_eq!((config.ng.udp, config.ng.peers.len()), (door(2223), 1));
        assert_eq!(run(&["--ng", "127.0.0.1:2224"], &environment).ng.udp, door(2224));
    }

    #[test]
    fn users_of_turn_are_given_one_by_one_and_a_wrong_one_is_not_repeated() {
        assert!(!run(&[], &[]).turn.is_on());
        let turn = run(&["--turn-user", "bob:pa:ss", "--turn-user", "eve:x"], &[]).turn;
        let users: Vec<_> = turn.users.iter().map(|(n, p)| (n.as_str(), p.reveal())).collect();
        assert_eq!((users, turn.is_on()), (vec![("bob", "pa:ss"), ("eve", "x")], true));
        let table = [("CAUSEWAY_TURN_USERS", "{ bob = \"a:b\" }")];
        assert_eq!(run(&[], &table).turn.users["bob"].reveal(), "a:b");
        let text = ask(&["--turn-user", "hunter2"], &[]).unwrap_err().to_string();
        assert!(text.contains("--turn-user: turn.users") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn every_fault_is_named_with_the_flag_or_variable_that_made_it() {
        let faults = ask(&["--bind", "here", "--mux-port", "9"], &[("CAUSEWAY_HTTP_LISTEN", "x")]);
        let text = faults.unwrap_err().to_string();
        for part in [
            "3 fault(s)",
            "--bind: interface[0].bind: \"here\"",
            "--mux-port",
            "CAUSEWAY_HTTP_LISTEN: http.listen",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault_and_an_unknown_flag_is_bad_usage() {
        let text = ask(&["--config", "/nonexistent/causeway.toml"], &[]).unwrap_err().to_string();
        assert!(text.contains("/nonexistent/causeway.toml: cannot be read"), "{text}");
        assert!(matches!(ask(&["--frobnicate"], &[]), Err(Refusal::Usage(_))));
    }

    #[test]
    fn a_made_token_opens_what_its_printed_lines_say() {
        let Ok(Command::Print(text)) = ask(&["token", "--name", "pbx", "--scopes", "call"], &[])
        else {
            panic!("nothing printed");
        };
        let (token, lines) = text.split_once('\n').unwrap();
        let sources = Sources { file: Some(("f".into(), lines.into())), ..Sources::default() };
        let config = load(&sources, &host()).unwrap().config;
        let tokens = ApiTokens::new(config.auth.token);
        assert!(tokens.check(token, Scope::Call).is_ok());
        assert_eq!(tokens.check(token, Scope::Read).unwrap_err().status, 403);
        assert!(ask(&["token", "--scopes", "root"], &[]).is_err());
        assert!(ask(&["token", "--name", "a\"b"], &[]).is_err());
    }
}
