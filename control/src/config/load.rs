//! Reads the configuration from its three sources and names every fault, not just the first: each
//! key is tried on its own against the same types, and what fails is set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::{Config, Interface, REDACTED, parse_cores, verify};

const SECTIONS: [&str; 17] = [
    "node",
    "interface",
    "http",
    "public",
    "edge",
    "ng",
    "whip",
    "turn",
    "media",
    "dtls",
    "auth",
    "limits",
    "timeouts",
    "cdr",
    "webhook",
    "recording",
    "log",
];
/// Bytes of a configuration file, most.
const FILE_MAX: usize = 1 << 20;

/// Where the configuration comes from; later ones win.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file's path and text.
    pub file: Option<(PathBuf, String)>,
    /// `CAUSEWAY_*` variables; others are left alone.
    pub environment: Vec<(String, String)>,
    /// Flags: as written, the section and key that they set, and the value.
    pub flags: Vec<(&'static str, [&'static str; 2], String)>,
}

impl Sources {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is too large or is not UTF-8.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Fault> {
        let fault = |problem: String| Fault {
            origin: Origin::File { path: path.to_owned(), line: 0 },
            key: String::new(),
            problem,
        };
        let bytes = fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        if bytes.len() > FILE_MAX {
            return Err(fault(format!("is longer than {FILE_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| fault("is not UTF-8".into()))?;
        self.file = Some((path.to_owned(), text));
        Ok(())
    }
}

/// What the configuration is checked against.
#[derive(Debug, Clone)]
pub struct Host {
    /// Cores that the process may run on.
    pub cores: Vec<usize>,
    /// Descriptors that it may open.
    pub descriptors: u64,
}

impl Host {
    /// This host, as the kernel tells it in `/proc/self`.
    pub fn read() -> Self {
        Self {
            cores: proc_cores().unwrap_or_else(|| vec![0]),
            descriptors: proc_descriptors().unwrap_or(u64::MAX),
        }
    }
}

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is legal and probably not meant.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was set.
    pub origin: Origin,
    /// The key, such as `node.workers`; empty where no key is at fault.
    pub key: String,
    /// The value and what is allowed.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.as_str()) {
            (Origin::Default, key) => write!(f, "{key}: {}", self.problem),
            (origin, "") => write!(f, "{origin}: {}", self.problem),
            (origin, key) => write!(f, "{origin}: {key}: {}", self.problem),
        }
    }
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1; 0 if there is none to name.
        line: usize,
    },
    /// In the environment.
    Variable(String),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Merges the sources, checks every key and then the keys against each other and the host.
///
/// # Errors
/// Every fault that there is.
pub fn load(sources: &Sources, host: &Host) -> Result<Loaded, Vec<Fault>> {
    let mut draft = Draft::default();
    if let Some((path, text)) = &sources.file {
        draft.file(path, text);
    }
    for (name, value) in &sources.environment {
        draft.variable(name, value);
    }
    for (flag, [section, key], value) in &sources.flags {
        draft.text(section, key, value, Origin::Flag(flag));
    }
    draft.finish(host)
}

/// The keys that were accepted so far, where they come from, and what was not accepted.
#[derive(Default)]
pub(super) struct Draft {
    accepted: Table,
    origins: BTreeMap<String, Origin>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    at_fault: BTreeSet<String>,
}

impl Draft {
    /// Records that `key` is wrong, unless one of the keys it is judged by was wrong before.
    pub(super) fn fault(&mut self, key: &str, judged_by: &[&str], problem: impl Into<String>) {
        if !judged_by.iter().chain([&key]).any(|key| self.at_fault.contains(*key)) {
            let origin = self.origin(key);
            self.faults.push(Fault { origin, key: key.to_owned(), problem: problem.into() });
        }
    }

    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    fn file(&mut self, path: &Path, text: &str) {
        let at = |offset: usize| Origin::File {
            path: path.to_owned(),
            line: text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1,
        };
        let (spans, values) = match (DeTable::parse(text), text.parse::<Table>()) {
            (Ok(spans), Ok(values)) => (spans, values),
            (Err(error), _) | (_, Err(error)) => {
                let origin = at(error.span().map_or(0, |span| span.start));
                let problem = error.message().to_owned();
                return self.faults.push(Fault { origin, key: String::new(), problem });
            }
        };
        for (section, span) in spans.get_ref() {
            let value = &values[section.get_ref().as_ref()];
            let origin = |offset: usize| at(offset);
            self.section(section.get_ref(), span, value, section.span().start, &origin);
        }
    }

    fn section(
        &mut self,
        section: &str,
        span: &Spanned<DeValue<'_>>,
        value: &Value,
        start: usize,
        at: &dyn Fn(usize) -> Origin,
    ) {
        if !SECTIONS.contains(&section) {
            let (origin, key, problem) = (at(start), section.to_owned(), unknown_section());
            return self.faults.push(Fault { origin, key, problem });
        }
        match (span.get_ref(), value) {
            (DeValue::Table(spans), Value::Table(values)) if section != "interface" => {
                for (key, span) in spans {
                    let (name, value) = (key.get_ref(), &values[key.get_ref().as_ref()]);
                    match (span.get_ref(), value) {
                        (DeValue::Array(spans), Value::Array(values))
                            if ["token", "ice_server"].contains(&name.as_ref()) =>
                        {
                            self.elements(section, name, spans.iter().zip(values), at);
                        }
                        _ => self.set(section, name, value.clone(), at(key.span().start)),
                    }
                }
            }
            (DeValue::Array(spans), Value::Array(values)) if section == "interface" => {
                for (index, (span, value)) in spans.iter().zip(values).enumerate() {
                    self.interface(index, span, value, at);
                }
            }
            _ => {
                let whole = nest(section, value.clone());
                let problem = refusal(whole).unwrap_or_else(|| "is not a table".into());
                let origin = at(start);
                self.faults.push(Fault { origin, key: section.to_owned(), problem });
            }
        }
    }

    /// One `[[interface]]`, key by key.
    fn interface(
        &mut self,
        index: usize,
        span: &Spanned<DeValue<'_>>,
        value: &Value,
        at: &dyn Fn(usize) -> Origin,
    ) {
        let list = self.accepted.entry("interface").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(Value::Table(Table::new()));
        }
        self.origins.insert(format!("interface[{index}]"), at(span.span().start));
        let (DeValue::Table(spans), Value::Table(values)) = (span.get_ref(), value) else {
            let key = format!("interface[{index}]");
            let problem = "is not a table; write [[interface]]".to_owned();
            return self.faults.push(Fault { origin: at(span.span().start), key, problem });
        };
        for (key, _) in spans {
            let value = values[key.get_ref().as_ref()].clone();
            self.set_interface(index, key.get_ref(), value, at(key.span().start));
        }
    }

    /// The elements of a list of tables, such as `[[auth.token]]`, each as a whole.
    fn elements<'a, 'b: 'a>(
        &mut self,
        section: &str,
        name: &str,
        elements: impl Iterator<Item = (&'a Spanned<DeValue<'b>>, &'a Value)>,
        at: &dyn Fn(usize) -> Origin,
    ) {
        let mut good = Vec::new();
        for (index, (span, value)) in elements.enumerate() {
            let key = format!("{section}.{name}[{index}]");
            let origin = at(span.span().start);
            match refusal(nest(section, nest(name, Value::Array(vec![value.clone()])).into())) {
                None => good.push(value.clone()),
                Some(problem) => {
                    self.at_fault.insert(format!("{section}.{name}"));
                    self.faults.push(Fault { origin, key, problem });
                }
            }
        }
        self.set(section, name, Value::Array(good), at(0));
    }

    fn variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix("CAUSEWAY_").map(str::to_lowercase) else { return };
        let Some((section, key)) = rest.split_once('_').filter(|_| rest != "config") else {
            return;
        };
        if SECTIONS.contains(&section) {
            self.text(section, key, value, Origin::Variable(name.to_owned()));
        } else {
            self.warnings.push(format!("{name} names no section of the configuration"));
        }
    }

    /// A value that is only text: as it stands if that is legal, else as a TOML value.
    fn text(&mut self, section: &str, key: &str, text: &str, origin: Origin) {
        let plain = Value::String(text.to_owned());
        let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
        let value = match parsed {
            Some(value) if probe(section, key, &plain).is_some() => value,
            _ => plain,
        };
        if section == "interface" {
            let list = self.accepted.entry("interface").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list
                && list.is_empty()
            {
                list.push(Value::Table(Table::new()));
            }
            self.set_interface(0, key, value, origin);
        } else {
            self.set(section, key, value, origin);
        }
    }

    fn set(&mut self, section: &str, key: &str, value: Value, origin: Origin) {
        let path = format!("{section}.{key}");
        if !self.admit(section, key, &path, &value, origin) {
            return;
        }
        let table = self.accepted.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = table {
            table.insert(key.to_owned(), value);
        }
    }

    fn set_interface(&mut self, index: usize, key: &str, value: Value, origin: Origin) {
        let path = format!("interface[{index}].{key}");
        if !self.admit("interface", key, &path, &value, origin) {
            return;
        }
        if let Some(Value::Array(list)) = self.accepted.get_mut("interface")
            && let Some(Value::Table(table)) = list.get_mut(index)
        {
            table.insert(key.to_owned(), value);
        }
    }

    fn admit(
        &mut self,
        section: &str,
        key: &str,
        path: &str,
        value: &Value,
        origin: Origin,
    ) -> bool {
        match probe(section, key, value) {
            None => {
                self.origins.insert(path.to_owned(), origin);
                true
            }
            Some(problem) => {
                let shown = if is_secret(path) { REDACTED.into() } else { value.to_string() };
                let problem = if problem.starts_with("unknown field") {
                    problem
                } else {
                    format!("{shown}: {problem}")
                };
                self.at_fault.insert(path.to_owned());
                self.faults.push(Fault { origin, key: path.to_owned(), problem });
                false
            }
        }
    }

    fn finish(mut self, host: &Host) -> Result<Loaded, Vec<Fault>> {
        let accepted = Value::Table(std::mem::take(&mut self.accepted));
        let mut config = match Config::deserialize(accepted) {
            Ok(config) => config,
            Err(error) => {
                self.fault("configuration", &[], error.message());
                return Err(self.faults);
            }
        };
        if config.interface.is_empty() {
            config.interface.push(Interface::default());
        }
        if config.node.workers.is_empty() {
            config.node.workers = default_workers(&host.cores);
        }
        verify::verify(&config, host, &mut self);
        if self.faults.is_empty() {
            return Ok(Loaded { config, warnings: self.warnings });
        }
        self.faults.sort_by_key(|fault| match fault.origin {
            Origin::File { line, .. } => line,
            _ => usize::MAX,
        });
        Err(self.faults)
    }
}

/// What is wrong with one key's value, judged alone.
fn probe(section: &str, key: &str, value: &Value) -> Option<String> {
    let table = Value::Table(nest(key, value.clone()));
    let table = if section == "interface" { Value::Array(vec![table]) } else { table };
    refusal(nest(section, table))
}

fn refusal(table: Table) -> Option<String> {
    Config::deserialize(Value::Table(table)).err().map(|error| error.message().trim().to_owned())
}

fn nest(key: &str, value: Value) -> Table {
    Table::from_iter([(key.to_owned(), value)])
}

fn unknown_section() -> String {
    format!("no such section; there are {}", SECTIONS.join(", "))
}

fn is_secret(path: &str) -> bool {
    ["auth.", "whip.ice_server", "webhook.secret", "turn.secrets", "turn.users"]
        .iter()
        .any(|secret| path.starts_with(secret))
}

/// All cores but the first, which is left to control and the kernel.
fn default_workers(cores: &[usize]) -> Vec<usize> {
    let spare = if cores.len() > 1 { &cores[1..] } else { cores };
    spare.iter().copied().take(causeway_engine::config::WORKERS_MAX).collect()
}

fn proc_cores() -> Option<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    parse_cores(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

fn proc_descriptors() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
