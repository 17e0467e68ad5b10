//! A request, with what its command needs and no less.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::keys::Keys;
use super::value::{Dictionary, Value, canonical};
use super::{Command, Flag, Flags, LIST_LIMIT, NgError};

/// A request and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What is asked for.
    pub request: Request,
    /// Whether the client knows the reply `load limit`.
    pub supports_load_limit: bool,
    /// Keys and flags that mean nothing to the node, to be warned of. At most
    /// [`super::UNKNOWN_MAX`], and fit to be logged.
    pub unknown: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Are you there?
    Ping,
    /// Counters of the node.
    Statistics,
    /// The calls' ids.
    List {
        /// How many, most.
        limit: usize,
    },
    /// A description that one side offers; it comes back rewritten.
    Offer(Box<Offer>),
    /// The description that answers it.
    Answer(Box<Answer>),
    /// A call, or a branch of it, is over.
    Delete(Delete),
    /// What is known of a call.
    Query(Query),
    /// What passes of a call's media.
    Media(MediaAction, Select),
    /// A digit for a call.
    PlayDtmf(PlayDtmf),
    /// Whether a call is recorded.
    Record(RecordingAction, Recording),
    /// A copy of a call's media that is offered.
    Subscribe(Box<Subscribe>),
    /// The description that answers that offer.
    Subscribed(Box<Subscribed>),
    /// No copy any longer.
    Unsubscribe(Unsubscribe),
    /// Media that nobody answers, for copies of it.
    Publish(Box<Offer>),
    /// A command that rtpengine knows and that is not typed here.
    Unserved(Command),
}

/// A copy of a call's media that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The call.
    pub call_id: String,
    /// Whose media it is a copy of.
    pub party: Party,
    /// The same, where several are named.
    pub from_tags: Vec<String>,
    /// Whom it is offered to; the node draws a tag where there is none.
    pub to_tag: Option<String>,
    /// What becomes of the description.
    pub flags: Flags,
}

/// The description that answers the offer of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The call.
    pub call_id: String,
    /// Who answers.
    pub to_tag: String,
    /// The description.
    pub sdp: Description,
    /// What becomes of it.
    pub flags: Flags,
}

/// No copy any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The call.
    pub call_id: String,
    /// Who had it.
    pub to_tag: String,
}

/// A description that one side offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The call.
    pub call_id: String,
    /// The offerer.
    pub from_tag: String,
    /// Whom it is offered to, where that is known.
    pub to_tag: Option<String>,
    /// Which branch of a forked call it goes out on.
    pub via_branch: Option<String>,
    /// The description.
    pub sdp: Description,
    /// What becomes of it.
    pub flags: Flags,
}

/// The description that answers an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The call.
    pub call_id: String,
    /// The offerer, who receives the answer.
    pub from_tag: String,
    /// The answerer.
    pub to_tag: String,
    /// Which branch of a forked call it came in on.
    pub via_branch: Option<String>,
    /// The description.
    pub sdp: Description,
    /// What becomes of it.
    pub flags: Flags,
}

/// A description as text. Debug hides it, since it carries keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Description(pub String);

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// A call, or a branch of it, is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The call.
    pub call_id: String,
    /// One of the call's tags; the call must have it.
    pub from_tag: Option<String>,
    /// The other side's tag, if it selects what is deleted.
    pub to_tag: Option<String>,
    /// The branch, if one alone is over.
    pub via_branch: Option<String>,
    /// How long ports stay open; `None` for what is configured.
    pub delay: Option<Duration>,
    /// Whether an unknown call is an error rather than a warning.
    pub fatal: bool,
    /// Whether the reply tells nothing of the call.
    pub fast: bool,
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The call.
    pub call_id: String,
    /// The party that is asked for, with those it talks to; else all.
    pub tag: Option<String>,
}

/// What passes of a call's media from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAction {
    /// No DTMF.
    BlockDtmf,
    /// DTMF again.
    UnblockDtmf,
    /// Nothing.
    Block,
    /// Everything again.
    Unblock,
    /// Silence.
    Silence,
    /// Sound again.
    Unsilence,
}

/// Whose media of a call is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The call.
    pub call_id: String,
    /// Who of it.
    pub party: Party,
    /// Who receives the media; else everybody.
    pub to: Option<Party>,
    /// What the party is called from now on.
    pub set_label: Option<String>,
}

/// Who of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// The call by itself, as no party is named.
    Call,
    /// Everybody, each one.
    All(All),
    /// Who is called so.
    Label(String),
    /// Whose first m-line's media goes to this address.
    Address(IpAddr),
    /// Who has this tag.
    Tag(String),
}

/// Which of a call's flows `all` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum All {
    /// All of them.
    All,
    /// Those between the sides of offers and answers.
    OfferAnswer,
    /// All others: copies to subscribers.
    ExceptOfferAnswer,
    /// All of them, each one, and not the call.
    Flows,
}

/// A digit for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayDtmf {
    /// Who seems to press it.
    pub select: Select,
    /// The event's number (RFC 4733 §3.2): 0 to 9, `*`, `#`, A to D.
    pub event: u8,
    /// How long it sounds.
    pub duration: Duration,
    /// How long nothing sounds after it.
    pub pause: Duration,
    /// How loud it is, in dB below 0 dBm0; `None` for what is usual.
    pub attenuation: Option<u8>,
}

/// What recording does from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingAction {
    /// Begins, or goes on.
    Start,
    /// Ends.
    Stop,
    /// Waits.
    Pause,
}

/// Which call's recording is meant, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The call.
    pub call_id: String,
    /// The party that `metadata` is noted for; else the call.
    pub from_tag: Option<String>,
    /// What is noted.
    pub metadata: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The folder.
    pub path: Option<String>,
    /// The pattern that the file's name is made by.
    pub pattern: Option<String>,
    /// Whether what was recorded is thrown away.
    pub discard: bool,
}

impl Message {
    /// Reads a request's document.
    ///
    /// # Errors
    /// The command is unknown, what it needs is missing, or a value is one that rtpengine refuses.
    pub fn parse(document: &Dictionary) -> Result<Self, NgError> {
        let command = document.lookup("command").and_then(Value::text).ok_or(NgError::NoCommand)?;
        let command = Command::parse(&command).ok_or(NgError::UnknownCommand)?;
        let mut keys = Keys::read(document)?;
        let unknown = std::mem::take(&mut keys.unknown);
        let supports_load_limit = keys.flags.has(Flag::SupportsLoadLimit);
        Ok(Self { request: Request::of(command, keys)?, supports_load_limit, unknown })
    }
}

impl Request {
    fn of(command: Command, keys: Keys) -> Result<Self, NgError> {
        let media = |action, keys| Ok(Self::Media(action, Select::of(keys)?));
        let record = |action, keys| Ok(Self::Record(action, Recording::of(keys)?));
        match command {
            Command::Ping => Ok(Self::Ping),
            Command::Statistics => Ok(Self::Statistics),
            Command::List => Ok(Self::List { limit: limit(keys.limit)? }),
            Command::Offer => Ok(Self::Offer(Box::new(Offer::of(keys)?))),
            Command::Answer => Ok(Self::Answer(Box::new(Answer::of(keys)?))),
            Command::Delete => Ok(Self::Delete(Delete::of(keys)?)),
            Command::Query => Ok(Self::Query(Query::of(keys)?)),
            Command::BlockDtmf => media(MediaAction::BlockDtmf, keys),
            Command::UnblockDtmf => media(MediaAction::UnblockDtmf, keys),
            Command::BlockMedia => media(MediaAction::Block, keys),
            Command::UnblockMedia => media(MediaAction::Unblock, keys),
            Command::SilenceMedia => media(MediaAction::Silence, keys),
            Command::UnsilenceMedia => media(MediaAction::Unsilence, keys),
            Command::PlayDtmf => Ok(Self::PlayDtmf(PlayDtmf::of(keys)?)),
            Command::StartRecording => record(RecordingAction::Start, keys),
            Command::StopRecording => record(RecordingAction::Stop, keys),
            Command::PauseRecording => record(RecordingAction::Pause, keys),
            Command::SubscribeRequest => Ok(Self::Subscribe(Box::new(Subscribe::of(keys)?))),
            Command::SubscribeAnswer => Ok(Self::Subscribed(Box::new(Subscribed::of(keys)?))),
            Command::Unsubscribe => Ok(Self::Unsubscribe(Unsubscribe::of(keys)?)),
            Command::Publish => Ok(Self::Publish(Box::new(Offer::of(keys)?))),
            other => Ok(Self::Unserved(other)),
        }
    }

    /// The command that asked for it.
    pub fn command(&self) -> Command {
        match self {
            Self::Ping => Command::Ping,
            Self::Statistics => Command::Statistics,
            Self::List { .. } => Command::List,
            Self::Offer(_) => Command::Offer,
            Self::Answer(_) => Command::Answer,
            Self::Delete(_) => Command::Delete,
            Self::Query(_) => Command::Query,
            Self::Media(MediaAction::BlockDtmf, _) => Command::BlockDtmf,
            Self::Media(MediaAction::UnblockDtmf, _) => Command::UnblockDtmf,
            Self::Media(MediaAction::Block, _) => Command::BlockMedia,
            Self::Media(MediaAction::Unblock, _) => Command::UnblockMedia,
            Self::Media(MediaAction::Silence, _) => Command::SilenceMedia,
            Self::Media(MediaAction::Unsilence, _) => Command::UnsilenceMedia,
            Self::PlayDtmf(_) => Command::PlayDtmf,
            Self::Record(RecordingAction::Start, _) => Command::StartRecording,
            Self::Record(RecordingAction::Stop, _) => Command::StopRecording,
            Self::Record(RecordingAction::Pause, _) => Command::PauseRecording,
            Self::Subscribe(_) => Command::SubscribeRequest,
            Self::Subscribed(_) => Command::SubscribeAnswer,
            Self::Unsubscribe(_) => Command::Unsubscribe,
            Self::Publish(_) => Command::Publish,
            Self::Unserved(command) => *command,
        }
    }

    /// The call that it is about, if it is about one.
    pub fn call_id(&self) -> Option<&str> {
        match self {
            Self::Ping | Self::Statistics | Self::List { .. } | Self::Unserved(_) => None,
            Self::Offer(offer) => Some(&offer.call_id),
            Self::Answer(answer) => Some(&answer.call_id),
            Self::Delete(delete) => Some(&delete.call_id),
            Self::Query(query) => Some(&query.call_id),
            Self::Media(_, select) => Some(&select.call_id),
            Self::PlayDtmf(play) => Some(&play.select.call_id),
            Self::Record(_, recording) => Some(&recording.call_id),
            Self::Subscribe(subscribe) => Some(&subscribe.call_id),
            Self::Subscribed(answer) => Some(&answer.call_id),
            Self::Unsubscribe(unsubscribe) => Some(&unsubscribe.call_id),
            Self::Publish(offer) => Some(&offer.call_id),
        }
    }
}

impl Offer {
    fn of(keys: Keys) -> Result<Self, NgError> {
        Ok(Self {
            sdp: Description(keys.sdp.ok_or(NgError::NoSdp)?),
            call_id: keys.call_id.ok_or(NgError::NoCallId)?,
            from_tag: keys.from_tag.ok_or(NgError::NoFromTag)?,
            to_tag: keys.to_tag,
            via_branch: keys.via_branch,
            flags: Flags { label: keys.label, ..keys.flags },
        })
    }
}

impl Answer {
    fn of(keys: Keys) -> Result<Self, NgError> {
        let Offer { call_id, from_tag, to_tag, via_branch, sdp, flags } = Offer::of(keys)?;
        let to_tag = to_tag.ok_or(NgError::NoToTag)?;
        Ok(Self { call_id, from_tag, to_tag, via_branch, sdp, flags })
    }
}

impl Subscribe {
    fn of(keys: Keys) -> Result<Self, NgError> {
        Ok(Self {
            call_id: keys.call_id.clone().ok_or(NgError::NoCallId)?,
            party: Party::of(&keys)?,
            from_tags: keys.from_tags,
            to_tag: keys.to_tag,
            flags: keys.flags,
        })
    }
}

impl Subscribed {
    fn of(keys: Keys) -> Result<Self, NgError> {
        Ok(Self {
            sdp: Description(keys.sdp.ok_or(NgError::NoSdp)?),
            call_id: keys.call_id.ok_or(NgError::NoCallId)?,
            to_tag: keys.to_tag.ok_or(NgError::NoToTag)?,
            flags: keys.flags,
        })
    }
}

impl Unsubscribe {
    fn of(keys: Keys) -> Result<Self, NgError> {
        let call_id = keys.call_id.ok_or(NgError::NoCallId)?;
        Ok(Self { call_id, to_tag: keys.to_tag.ok_or(NgError::NoToTag)? })
    }
}

impl Delete {
    fn of(keys: Keys) -> Result<Self, NgError> {
        // Proxies that leave their flags unparsed always send the to-tag, and say so if it counts.
        let to_tag_counts = !keys.has_line || keys.flags.has(Flag::ToTag);
        Ok(Self {
            call_id: keys.call_id.ok_or(NgError::NoCallId)?,
            from_tag: keys.from_tag,
            to_tag: keys.to_tag.filter(|_| to_tag_counts),
            via_branch: keys.via_branch,
            delay: keys.delete_delay,
            fatal: keys.flags.has(Flag::Fatal),
            fast: keys.flags.has(Flag::Fast),
        })
    }
}

impl Query {
    fn of(keys: Keys) -> Result<Self, NgError> {
        let call_id = keys.call_id.ok_or(NgError::NoCallId)?;
        Ok(Self { call_id, tag: keys.to_tag.or(keys.from_tag) })
    }
}

impl Select {
    fn of(keys: Keys) -> Result<Self, NgError> {
        let call_id = keys.call_id.clone().ok_or(NgError::NoCallId)?;
        Ok(Self {
            call_id,
            party: Party::of(&keys)?,
            to: keys.to_label.map(Party::Label).or(keys.to_tag.map(Party::Tag)),
            set_label: keys.flags.set_label,
        })
    }
}

impl Party {
    /// Whom the first of these names: `all`, a label, an address, a tag. Clients give the tag only where
    /// they mean one side.
    fn of(keys: &Keys) -> Result<Self, NgError> {
        if let Some(all) = All::of(keys) {
            Ok(Self::All(all))
        } else if let Some(label) = &keys.label {
            Ok(Self::Label(label.clone()))
        } else if let Some(address) = &keys.address {
            address.parse().map(Self::Address).map_err(|_| NgError::BadAddress)
        } else {
            Ok(keys.from_tag.clone().map_or(Self::Call, Self::Tag))
        }
    }
}

impl All {
    fn of(keys: &Keys) -> Option<Self> {
        match canonical(keys.all.as_deref().unwrap_or_default()).as_str() {
            "all" => Some(Self::All),
            "offer-answer" => Some(Self::OfferAnswer),
            "except-offer-answer" | "not-offer-answer" | "non-offer-answer" => {
                Some(Self::ExceptOfferAnswer)
            }
            "flows" => Some(Self::Flows),
            _ => keys.flags.has(Flag::All).then_some(Self::All),
        }
    }
}

impl PlayDtmf {
    fn of(keys: Keys) -> Result<Self, NgError> {
        let event = keys.code.as_ref().and_then(event).ok_or(NgError::BadCode);
        let (duration, pause, volume) = (keys.duration, keys.pause, keys.volume);
        let select = Select::of(keys)?;
        if select.party == Party::Call {
            return Err(NgError::NoParty);
        }
        Ok(Self {
            select,
            event: event?,
            duration: time(duration, DTMF_DURATION),
            pause: time(pause, DTMF_PAUSE),
            attenuation: volume.map(|volume| clamped(volume.unsigned_abs(), ATTENUATION_MAX)),
        })
    }
}

impl Recording {
    fn of(keys: Keys) -> Result<Self, NgError> {
        Ok(Self {
            call_id: keys.call_id.ok_or(NgError::NoCallId)?,
            from_tag: keys.from_tag,
            discard: keys.flags.has(Flag::DiscardRecording),
            metadata: keys.flags.metadata,
            file: keys.recording_file,
            path: keys.recording_path,
            pattern: keys.recording_pattern,
        })
    }
}

fn limit(given: Option<i64>) -> Result<usize, NgError> {
    given.map_or(Ok(LIST_LIMIT), |limit| limit.try_into().map_err(|_| NgError::BadLimit))
}

/// A digit as one character or as the event's number.
fn event(code: &Value) -> Option<u8> {
    let number = match code.text() {
        Some(text) if text.len() == 1 => EVENTS.find(text.to_ascii_uppercase().as_str())?,
        _ => usize::try_from(code.integer()?).ok()?,
    };
    u8::try_from(number).ok().filter(|number| usize::from(*number) < EVENTS.len())
}

fn time(given: Option<i64>, usual: Duration) -> Duration {
    match given {
        None | Some(0) => usual,
        Some(given) => {
            let millis = u64::try_from(given).unwrap_or_default();
            Duration::from_millis(millis).clamp(DTMF_TIME_MIN, DTMF_TIME_MAX)
        }
    }
}

fn clamped(number: u64, most: u8) -> u8 {
    u8::try_from(number).unwrap_or(most).min(most)
}

/// The events by number.
const EVENTS: &str = "0123456789*#ABCD";
/// How long a digit sounds if nothing is said.
const DTMF_DURATION: Duration = Duration::from_millis(250);
/// How long nothing sounds after it if nothing is said.
const DTMF_PAUSE: Duration = Duration::from_millis(100);
/// The shortest of both.
const DTMF_TIME_MIN: Duration = Duration::from_millis(100);
/// The longest of both.
const DTMF_TIME_MAX: Duration = Duration::from_secs(5);
/// The least loud digit: the volume field has 6 bits (RFC 4733 §2.3.4).
const ATTENUATION_MAX: u8 = 63;
