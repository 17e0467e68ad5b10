//! A server that is started: a program with its settings, under the name that reports give it.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::about::{self, Server};
use crate::make::Make;

/// The variable that says what a node logs.
const LOG_LEVEL: &str = "CAUSEWAY_LOG_LEVEL";

/// Settings of a program under a name: `NAME[=ARGS]` on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variant {
    /// What reports call it.
    pub name: String,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Arguments behind all others.
    pub arguments: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// Who made it.
    pub make: Make,
    /// The program.
    pub program: PathBuf,
    /// Its name and its settings.
    pub variant: Variant,
}

impl Contestant {
    /// A program without settings of its own, named after who made it.
    pub fn new(make: Make, program: PathBuf) -> Self {
        let variant = Variant { name: make.to_string(), ..Variant::default() };
        Self { make, program, variant }
    }

    /// One for each variant; one without settings if there are none. `common` stands before what each has itself.
    pub fn each(make: Make, program: &Path, common: &[String], variants: &[Variant]) -> Vec<Self> {
        let mut all = vec![Self::new(make, program.to_path_buf())];
        if !variants.is_empty() {
            let one = |variant: &Variant| Self {
                make,
                program: program.to_path_buf(),
                variant: variant.clone(),
            };
            all = variants.iter().map(one).collect();
        }
        for contestant in &mut all {
            contestant.variant.arguments.splice(0..0, common.iter().cloned());
        }
        all
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        &self.variant.name
    }

    /// The command that starts it, on `core` alone if there is one, with `own` arguments before those of its settings.
    /// A causeway logs warnings, unless the environment says otherwise: under load it has much to tell of calls that
    /// we know.
    pub fn command(&self, core: Option<usize>, own: &[String]) -> Command {
        // It starts in a folder of its own, and a name without a folder is looked for in PATH.
        let is_path = self.program.components().count() > 1;
        let absolute = is_path.then(|| std::path::absolute(&self.program)).and_then(Result::ok);
        let program = absolute.as_ref().unwrap_or(&self.program);
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        if env::var_os(LOG_LEVEL).is_none() {
            command.env(LOG_LEVEL, "warn");
        }
        let variables = self.variant.environment.iter().map(|(name, value)| (name, value));
        command.args(own).args(&self.variant.arguments).envs(variables).stdin(Stdio::null());
        // Ctrl-C at the terminal is for us; a server outlives the calls that we delete.
        command.process_group(0);
        command
    }

    /// Which one it is, as it says itself.
    pub fn about(&self) -> Server {
        let Variant { name, environment, arguments } = &self.variant;
        let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
        let settings = about::shown(variables.chain(arguments.iter().cloned()));
        Server { name: name.clone(), version: about::version_of(&self.program), settings }
    }

    /// Its cores, as causeway's `--workers` has them: the one that it is started on, unless its settings say.
    pub fn workers(&self, core: usize) -> Vec<String> {
        let says = |word: &String| word == WORKERS || word.starts_with("--workers=");
        match self.variant.arguments.iter().any(says) {
            true => Vec::new(),
            false => vec![WORKERS.to_owned(), core.to_string()],
        }
    }
}

const WORKERS: &str = "--workers";

impl FromStr for Variant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, settings) = text.split_once('=').unwrap_or((text, ""));
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("a variant has a name: NAME or NAME=ARGS");
        }
        let mut variant = Self { name: name.to_owned(), ..Self::default() };
        for word in settings.split_ascii_whitespace() {
            match assignment(word).filter(|_| variant.arguments.is_empty()) {
                Some((name, value)) => variant.environment.push((name.into(), value.into())),
                None => variant.arguments.push(word.to_owned()),
            }
        }
        Ok(variant)
    }
}

/// `NAME=VALUE` as a shell has it before a command.
pub fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    (starts && name.chars().all(is_name)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_variant_has_variables_before_its_arguments() {
        let variant: Variant = "off=CAUSEWAY_X=y Z= --backend mmsg --limit=a=b".parse().unwrap();
        assert_eq!(variant.name, "off");
        let variables = [("CAUSEWAY_X", "y"), ("Z", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(variant.environment, variables);
        assert_eq!(variant.arguments, words(&["--backend", "mmsg", "--limit=a=b"]));
        let behind: Variant = "x=run A=b".parse().unwrap();
        assert_eq!((behind.environment.len(), behind.arguments), (0, words(&["run", "A=b"])));
        let bare: Variant = "on".parse().unwrap();
        assert_eq!(bare, Variant { name: "on".into(), ..Variant::default() });
        assert!("=a".parse::<Variant>().is_err() && "a b=c".parse::<Variant>().is_err());
    }

    #[test]
    fn without_variants_there_is_one_by_the_name_of_its_make() {
        let program = Path::new("/bin/causeway");
        let common = words(&["--backend", "mmsg"]);
        let [one] = &Contestant::each(Make::Causeway, program, &common, &[])[..] else {
            panic!("one")
        };
        assert_eq!((one.name(), &one.variant.arguments), ("causeway", &common));
        let variants = ["a".parse().unwrap(), "b=--x".parse().unwrap()];
        let two = Contestant::each(Make::Causeway, program, &common, &variants);
        assert_eq!(two[1].variant.arguments, words(&["--backend", "mmsg", "--x"]));
        assert_eq!((two.len(), two[0].name()), (2, "a"));
    }

    #[test]
    fn a_command_is_pinned_and_has_the_settings_last() {
        let variant = "v=A=b --y".parse().unwrap();
        let contestant = Contestant { make: Make::Causeway, program: "p".into(), variant };
        let command = contestant.command(Some(3), &words(&["--x"]));
        let line: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            (command.get_program().to_str(), line),
            (Some("taskset"), vec!["-c", "3", "p", "--x", "--y"])
        );
        assert!(
            command.get_envs().any(|(name, value)| name == "A" && value.is_some_and(|v| v == "b"))
        );
        assert_eq!(contestant.command(None, &[]).get_program(), "p");
    }

    #[test]
    fn a_worker_is_where_the_settings_say() {
        let of = |text: &str| {
            let variant = text.parse().unwrap();
            Contestant { make: Make::Causeway, program: "p".into(), variant }.workers(2)
        };
        assert_eq!(of("v"), words(&["--workers", "2"]));
        assert!(of("v=--workers 1").is_empty() && of("v=--workers=1").is_empty());
    }
}
