//! The file: a line per record. Whoever rotates logs moves it away; a new one is opened in its place with
//! the next record, since before each it is looked whether the path still leads to the file that is open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::{Job, QUEUE, Queue, RecordError, Tally};

/// Opens the file and starts its thread.
pub(super) fn open(path: &Path) -> Result<Queue, RecordError> {
    let mut lines = Lines { path: path.to_owned(), file: None, is_torn: false, is_failing: false };
    lines.look().map_err(|source| RecordError::File { path: path.to_owned(), source })?;
    let (sender, jobs) = sync_channel(QUEUE);
    let tally = Arc::new(Tally::default());
    let counted = tally.clone();
    thread::Builder::new()
        .name("cdr".into())
        .spawn(move || lines.run(&jobs, &counted))
        .map_err(RecordError::Thread)?;
    Ok(Queue { sender, tally })
}

struct Lines {
    path: PathBuf,
    file: Option<File>,
    /// Whether the last line may be there in part.
    is_torn: bool,
    /// Whether the last line could not be written, which is logged once.
    is_failing: bool,
}

impl Lines {
    fn run(mut self, jobs: &Receiver<Job>, tally: &Tally) {
        while let Ok(job) = jobs.recv() {
            let written = self.write(&job.text);
            self.log(written.as_ref().err());
            tally.settle(written.is_ok());
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let lead = if self.is_torn { "\n" } else { "" };
        let file = self.look()?;
        let written = file.write_all(format!("{lead}{line}\n").as_bytes());
        self.is_torn = written.is_err();
        written
    }

    /// The file that the path leads to.
    fn look(&mut self) -> io::Result<&mut File> {
        if let Some(file) = self.file.take_if(|file| !is_at(file, &self.path)) {
            drop(file);
            self.is_torn = false;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
                Ok(none.insert(file))
            }
        }
    }

    fn log(&mut self, error: Option<&io::Error>) {
        let path = self.path.display();
        match error {
            Some(error) if !self.is_failing => {
                tracing::error!(%path, %error, "records of calls cannot be written");
            }
            None if self.is_failing => tracing::info!(%path, "records of calls are written again"),
            _ => {}
        }
        self.is_failing = error.is_some();
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
