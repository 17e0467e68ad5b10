//! What passes of whose media: `block media`, `silence media`, `block DTMF` and their opposites.

use super::party::{PartyFilter, PartyId};
use super::{ProxiedCall, RequestId};
use crate::ng::{MediaAction, NgError, Party, Reply, Select};

impl ProxiedCall {
    pub(super) fn filter(
        &mut self,
        request: RequestId,
        action: MediaAction,
        select: &Select,
    ) -> Result<(), NgError> {
        let chosen = self.chosen(&select.party)?;
        for id in chosen {
            if let Some(party) = self.parties.at_mut(id) {
                apply(&mut party.filter, action);
                if let Some(label) = &select.set_label {
                    party.label = Some(label.clone());
                }
            }
        }
        self.pipe_all();
        self.reply_when_applied(request, Reply::ok());
        Ok(())
    }

    /// The parties that a request means.
    pub(super) fn chosen(&self, party: &Party) -> Result<Vec<PartyId>, NgError> {
        let one = |found: Option<PartyId>, error| found.map(|id| vec![id]).ok_or(error);
        match party {
            Party::Call | Party::All(_) => Ok(self.parties.iter().map(|party| party.id).collect()),
            Party::Label(label) => {
                let has = |party: &&super::party::Party| party.label.as_ref() == Some(label);
                one(self.parties.iter().find(has).map(|party| party.id), NgError::UnknownLabel)
            }
            Party::Address(address) => {
                let at = |party: &&super::party::Party| {
                    let far = party.lines.first().and_then(|line| line.far.as_ref());
                    far.is_some_and(|far| far.rtp.ip() == *address)
                };
                one(self.parties.iter().find(at).map(|party| party.id), NgError::UnknownAddress)
            }
            Party::Tag(tag) => one(self.parties.tagged(tag), NgError::UnknownTag),
        }
    }
}

fn apply(filter: &mut PartyFilter, action: MediaAction) {
    match action {
        MediaAction::BlockDtmf => filter.dtmf_blocked = true,
        MediaAction::UnblockDtmf => filter.dtmf_blocked = false,
        MediaAction::Block => filter.media_blocked = true,
        MediaAction::Unblock => filter.media_blocked = false,
        MediaAction::Silence => filter.silenced = true,
        MediaAction::Unsilence => filter.silenced = false,
    }
}
