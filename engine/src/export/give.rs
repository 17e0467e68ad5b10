//! The old process's side of a hand-over.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::channel::{Broken, Channel, MAGIC, Message};
use super::{Exported, VERSION};
use crate::command::{Command, Refusal, Returned};
use crate::config::{HAND_OVER_MS, HAND_OVER_START_MS};
use crate::link::{Engine, Link, Unanswered};

/// How long the workers may need to go on after a hand-over that failed.
const RESUME_PATIENCE: Duration = Duration::from_secs(5);

/// Why the workers were not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The other process is gone, late or makes no sense.
    #[error(transparent)]
    Peer(#[from] Broken),
    /// The other program is of another kind.
    #[error(
        "the other process reads another layout of the state (version {version}, {layout:016x})"
    )]
    Layout {
        /// Its version of the conversation.
        version: u16,
        /// Its [`super::layout`].
        layout: u64,
    },
    /// The other process is too small.
    #[error("the other process has {theirs} {what}, needed are {ours}")]
    Small {
        /// Of what.
        what: &'static str,
        /// Its number.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The other process says that it cannot.
    #[error("the other process refuses: {0}")]
    Refused(String),
    /// A worker here could not be copied.
    #[error(transparent)]
    Worker(#[from] Unanswered),
    /// A leg is larger than what the other process takes.
    #[error("a leg has {0} bytes of state")]
    Leg(usize),
}

/// A hand-over that failed: the engine serves on here.
pub struct StillServing {
    /// Why.
    pub error: HandOverError,
    /// The engine.
    pub engine: Engine,
    /// Its links.
    pub links: Vec<Link>,
}

impl fmt::Debug for StillServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StillServing").field("error", &self.error).finish_non_exhaustive()
    }
}

/// Hands the workers' state over; they are quiet afterwards, or serve as before. Says how long it took.
pub(crate) fn give(links: &mut [Link], stream: &UnixStream) -> Result<Duration, HandOverError> {
    let mut channel = Channel::new(stream, Duration::from_millis(HAND_OVER_START_MS));
    channel.hear(|message, _| Ok(check_hello(&message, links)))??;
    channel.hurry(Duration::from_millis(HAND_OVER_MS));
    let begun = Instant::now();
    match give_quiet(links, &mut channel) {
        Ok(()) => Ok(begun.elapsed()),
        Err(error) => {
            resume(links);
            Err(error)
        }
    }
}

fn check_hello(message: &Message, links: &[Link]) -> Result<(), HandOverError> {
    let (version, layout, theirs, room) = match *message {
        Message::Hello { magic: MAGIC, version, layout, workers, legs } => {
            (version, layout, workers, legs)
        }
        Message::Refused { ref reason } => return Err(HandOverError::Refused(reason.clone())),
        _ => return Err(Broken::Unexpected("no greeting").into()),
    };
    if (version, layout) != (VERSION, super::layout()) {
        return Err(HandOverError::Layout { version, layout });
    }
    let at_least = |what, theirs: u32, ours: usize| {
        let ours = u32::try_from(ours).unwrap_or(u32::MAX);
        if theirs < ours { Err(HandOverError::Small { what, theirs, ours }) } else { Ok(()) }
    };
    at_least("workers", theirs.into(), links.len())?;
    at_least("legs per worker", room, links.iter().map(Link::legs).max().unwrap_or(0))
}

fn give_quiet(links: &mut [Link], channel: &mut Channel<'_>) -> Result<(), HandOverError> {
    let deadline = channel.deadline();
    quiesce(links, deadline)?;
    channel.say(&Message::Begin {}, &[])?;
    let (mut legs, mut sockets) = (0, 0);
    // All copy at once, since each has a core of its own.
    let asked = links.iter_mut().map(|link| link.tell(Command::Export(Box::default()), deadline));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    for (link, ticket) in links.iter_mut().zip(asked) {
        let Returned::Exported(exported) = link.answer_to(ticket, deadline)? else {
            return Err(Unanswered::refused(link.worker(), Refusal::Misuse).into());
        };
        legs += exported.legs.len();
        sockets += exported.sockets.len();
        say_worker(link, &exported, channel)?;
    }
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    channel.say(&Message::End { legs: count(legs), sockets: count(sockets) }, &[])?;
    channel.hear(|message, _| match message {
        Message::Installed {} => Ok(Ok(())),
        Message::Refused { reason } => Ok(Err(HandOverError::Refused(reason))),
        _ => Err(Broken::Unexpected("no word that all is installed")),
    })??;
    channel.say(&Message::Yours {}, &[])?;
    Ok(())
}

fn say_worker(
    link: &Link,
    exported: &Exported,
    channel: &mut Channel<'_>,
) -> Result<(), HandOverError> {
    let Exported { taken, bytes, legs, hops, sockets } = exported;
    let (worker, hops) = (link.worker(), hops.iter().copied().collect());
    channel.say(&Message::Worker { worker, taken: *taken, hops }, &[])?;
    for (leg, range) in legs {
        if range.len() > crate::config::LEG_STATE_MAX {
            return Err(HandOverError::Leg(range.len()));
        }
        channel.say(&Message::Leg { leg: *leg }, &bytes[range.clone()])?;
    }
    Ok(channel.say_sockets(sockets)?)
}

/// Makes all workers quiet.
pub(super) fn quiesce(links: &mut [Link], deadline: Instant) -> Result<(), Unanswered> {
    tell_all(links, || Command::Quiesce, deadline)
}

/// Lets workers serve that are quiet or about to be. Those that serve already refuse, which is as well.
fn resume(links: &mut [Link]) {
    let deadline = Instant::now() + RESUME_PATIENCE;
    for link in links {
        if let Ok(ticket) = link.tell(Command::Resume, deadline) {
            let _ = link.answer_to(ticket, deadline);
        }
    }
}

/// Tells all workers at once and waits for all.
pub(super) fn tell_all(
    links: &mut [Link],
    command: impl Fn() -> Command,
    deadline: Instant,
) -> Result<(), Unanswered> {
    let told = links.iter_mut().map(|link| link.tell(command(), deadline));
    let told = told.collect::<Result<Vec<_>, _>>()?;
    links
        .iter_mut()
        .zip(told)
        .try_for_each(|(link, ticket)| link.answer_to(ticket, deadline).map(drop))
}
