//! `play DTMF`: a party seems to press a key, and whoever hears it hears that.

use causeway_engine::command::{Command, Refusal, StreamId};
use causeway_engine::digit::Digit;

use super::line::Line;
use super::party::Party;
use super::{Pending, ProxiedCall, RequestId};
use crate::ng::{NgError, PlayDtmf, Reply};

/// How loud a digit is where nobody says, in dB below 0 dBm0.
const ATTENUATION: u8 = 8;

impl ProxiedCall {
    pub(super) fn play(&mut self, request: RequestId, asked: &PlayDtmf) -> Result<(), NgError> {
        let chosen = self.chosen(&asked.select.party)?;
        let parties = chosen.iter().filter_map(|id| self.parties.at(*id));
        let digits = parties
            .map(|party| {
                let (line, stream) = source(party).ok_or(NgError::NoDtmfSource)?;
                let sink = self.hearer(party, line.index).ok_or(NgError::NoDtmfSink)?;
                Ok((stream, digit(asked, payload_type(line, sink))))
            })
            .collect::<Result<Vec<_>, NgError>>()?;
        let Some(((stream, digit), earlier)) = digits.split_last().map(|(last, e)| (*last, e))
        else {
            return Err(NgError::NoDtmfSource);
        };
        for (stream, digit) in earlier {
            self.tell(Command::PlayDigit { stream: *stream, digit: *digit });
        }
        let command = Command::PlayDigit { stream, digit };
        self.tell_tagged(Pending::Digit { request }, command);
        Ok(())
    }

    /// The worker plays a digit, or does not.
    pub(super) fn played(&mut self, request: RequestId, outcome: Result<(), Refusal>) {
        let reply = match outcome {
            Ok(()) => Reply::ok(),
            Err(Refusal::Full) => Reply::error(NgError::DigitsFull),
            Err(_) => Reply::error(NgError::NoDtmfSource),
        };
        self.reply(request, reply);
    }

    /// The m-line of somebody who hears what a party says on one.
    fn hearer(&self, party: &Party, index: usize) -> Option<&Line> {
        let mut links = self.parties.links.iter().filter(|link| link.from == party.id);
        links.find_map(|link| {
            let to = self.parties.at(link.to)?;
            let mut lines = to.lines.iter();
            lines.find(|line| line.index == index + link.offset && speaks(line))
        })
    }
}

/// What digits are played into: the first audio that a party has.
fn source(party: &Party) -> Option<(&Line, StreamId)> {
    let line = party.lines.iter().find(|line| speaks(line))?;
    let (seat, index) = party.seat_of(line).filter(|(seat, _)| seat.is_installed())?;
    Some((line, StreamId { leg: seat.leg, index }))
}

/// Whether a line is audio that the node can say something in.
fn speaks(line: &Line) -> bool {
    line.kind == "audio" && line.is_rtp() && !line.is_rejected && !line.ice.passes
}

fn digit(asked: &PlayDtmf, payload_type: Option<u8>) -> Digit {
    let ms = |time: std::time::Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    Digit {
        event: asked.event,
        payload_type,
        attenuation: asked.attenuation.unwrap_or(ATTENUATION),
        duration_ms: ms(asked.duration),
        pause_ms: ms(asked.pause),
    }
}

/// The receiver's payload type of events in the clock of what the party sends; there need not be one.
fn payload_type(source: &Line, sink: &Line) -> Option<u8> {
    let (said, heard) = (source.far.as_ref()?, sink.far.as_ref()?);
    let media = said.payload_types.iter().find(|known| !said.events.contains(&known.number))?;
    let events = heard.payload_types.iter().filter(|known| heard.events.contains(&known.number));
    let mut fitting = events.filter(|known| known.clock_rate == media.clock_rate);
    fitting.next().map(|known| known.number)
}
