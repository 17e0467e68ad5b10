//! Packet indices: the 48-bit index from a 16-bit sequence number (RFC 3711 §3.3.1) and the window
//! that remembers which indices were used (RFC 3711 §3.3.2).
//!
//! Session keys belong to the master key, so all that an SSRC owns is its window. It is made when the
//! first packet of the SSRC has authenticated: of the many that a transport may have, most have one or two.

use crate::config::SSRCS_PER_TRANSPORT;
use crate::error::DropReason;
use crate::few::Few;
use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, write_len};
use crate::sys::cpu::prefetch;

/// SRTP packets that a window looks back, both ways. Video sends a key frame as a burst of hundreds
/// of packets, so the 64 that RFC 3711 §3.3.2 asks for are too few.
pub const REPLAY_WINDOW: usize = 1024;
/// SRTCP packets that a window looks back. They come a few per second.
pub const RTCP_REPLAY_WINDOW: usize = 128;
/// SRTP packets that one master key protects per SSRC (RFC 3711 §9.2).
pub const RTP_KEY_LIFETIME: u64 = 1 << 48;
/// SRTCP packets that one master key protects (RFC 3711 §9.2).
pub const RTCP_KEY_LIFETIME: u32 = 1 << 31;

const WORD: usize = u64::BITS as usize;
const RTP_WORDS: usize = REPLAY_WINDOW / WORD;
const RTCP_WORDS: usize = RTCP_REPLAY_WINDOW / WORD;
const HALF: u16 = 1 << 15;

const _: () = assert!(REPLAY_WINDOW.is_multiple_of(WORD) && REPLAY_WINDOW < HALF as usize);
const _: () = assert!(RTCP_REPLAY_WINDOW.is_multiple_of(WORD) && RTCP_REPLAY_WINDOW >= 64);

/// The highest index of one SSRC: all that must survive for a context to go on in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SsrcIndex {
    /// The synchronization source.
    pub ssrc: u32,
    /// SRTP: roll-over counter and highest sequence number, 48 bits. SRTCP: highest index, 31 bits.
    pub index: u64,
}

impl SsrcIndex {
    /// The roll-over counter of an SRTP index.
    #[must_use]
    pub const fn roc(self) -> u32 {
        (self.index >> 16) as u32
    }

    /// The sequence number of an SRTP index.
    #[must_use]
    pub const fn sequence(self) -> u16 {
        self.index as u16
    }
}

pub(super) type RtpWindows = Windows<RTP_WORDS>;
pub(super) type RtcpWindows = Windows<RTCP_WORDS>;

/// An index that was asked for and found free, and where it will be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) struct Place {
    slot: usize,
    ssrc: u32,
    /// The packet's index.
    pub(super) index: u64,
}

/// The windows of one direction, one per SSRC.
#[derive(Debug)]
pub(super) struct Windows<const WORDS: usize> {
    // Apart from the windows, so that a search stays in a cache line or two.
    ssrcs: Few<u32, SSRCS_PER_TRANSPORT>,
    windows: Few<Window<WORDS>, SSRCS_PER_TRANSPORT>,
}

impl<const WORDS: usize> Windows<WORDS> {
    pub(super) fn new() -> Self {
        Self { ssrcs: Few::new(), windows: Few::new() }
    }

    /// Asks for the first window.
    pub(super) fn warm(&self) {
        self.windows.first().iter().for_each(|window| prefetch(*window));
    }

    /// The place of a received sequence number. Changes nothing.
    ///
    /// No index lies before 0: what seems to is a jump ahead, and the tag decides.
    pub(super) fn ask_received(&self, ssrc: u32, sequence: u16) -> Result<Place, DropReason> {
        self.ask(ssrc, |highest| {
            Ok(highest.and_then(|h| nearest(h, sequence)).unwrap_or(u64::from(sequence)))
        })
    }

    /// The place of a sequence number that is to be sent. Changes nothing.
    ///
    /// Right after the start, a number that wraps backwards within the window is a late packet from
    /// before index 0. To send it as a jump ahead would turn the counter over at our side alone if
    /// it gets lost.
    pub(super) fn ask_sent(&self, ssrc: u32, sequence: u16) -> Result<Place, DropReason> {
        self.ask(ssrc, |highest| {
            let Some(highest) = highest else { return Ok(u64::from(sequence)) };
            let late = usize::from((highest as u16).wrapping_sub(sequence)) < REPLAY_WINDOW;
            match nearest(highest, sequence) {
                None if late => Err(DropReason::SrtpOld),
                index => Ok(index.unwrap_or(u64::from(sequence))),
            }
        })
    }

    /// The place of an index that the packet names in full. Changes nothing.
    pub(super) fn ask_index(&self, ssrc: u32, index: u64) -> Result<Place, DropReason> {
        self.ask(ssrc, |_| Ok(index))
    }

    /// Marks the index as used; an SSRC that is new takes its place.
    pub(super) fn commit(&mut self, place: Place) {
        if let Some(window) = self.windows.get_mut(place.slot) {
            window.commit(place.index);
        } else if self.ssrcs.try_push(place.ssrc).is_ok() {
            let _ = self.windows.try_push(Window::new(place.index));
        }
    }

    /// The highest index of each SSRC.
    pub(super) fn indices(&self) -> impl Iterator<Item = SsrcIndex> {
        self.ssrcs
            .iter()
            .zip(&self.windows)
            .map(|(&ssrc, window)| SsrcIndex { ssrc, index: window.highest })
    }

    /// Goes on behind `at`: it and everything before counts as used.
    pub(super) fn restore(&mut self, at: SsrcIndex) -> Result<(), DropReason> {
        let place = self.ask(at.ssrc, |_| Ok(at.index))?;
        self.commit(place);
        self.windows[place.slot].close();
        Ok(())
    }

    fn ask(
        &self,
        ssrc: u32,
        index: impl FnOnce(Option<u64>) -> Result<u64, DropReason>,
    ) -> Result<Place, DropReason> {
        let slot = self.ssrcs.iter().position(|&known| known == ssrc).unwrap_or(self.ssrcs.len());
        if slot == SSRCS_PER_TRANSPORT {
            return Err(DropReason::SrtpSsrcs);
        }
        let window = self.windows.get(slot);
        let index = index(window.map(|window| window.highest))?;
        if index >= RTP_KEY_LIFETIME {
            return Err(DropReason::SrtpKeyExpired);
        }
        if let Some(window) = window {
            window.ask(index)?;
        }
        Ok(Place { slot, ssrc, index })
    }
}

/// Which of the last `WORDS` × 64 indices were used. Index `i` has bit `i` modulo the window's size,
/// so the window advances without a shift.
#[derive(Debug)]
struct Window<const WORDS: usize> {
    highest: u64,
    used: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const SIZE: u64 = (WORDS * WORD) as u64;

    fn new(index: u64) -> Self {
        let mut window = Self { highest: index, used: [0; WORDS] };
        window.commit(index);
        window
    }

    fn ask(&self, index: u64) -> Result<(), DropReason> {
        if index > self.highest {
            return Ok(());
        }
        if self.highest - index >= Self::SIZE {
            return Err(DropReason::SrtpOld);
        }
        let (word, bit) = Self::bit(index);
        if self.used[word] & bit != 0 { Err(DropReason::SrtpReplayed) } else { Ok(()) }
    }

    fn commit(&mut self, index: u64) {
        if index > self.highest {
            self.advance(index);
        }
        let (word, bit) = Self::bit(index);
        self.used[word] |= bit;
    }

    /// Counts every index up to the highest as used.
    fn close(&mut self) {
        self.used = [u64::MAX; WORDS];
    }

    fn advance(&mut self, index: u64) {
        if index - self.highest >= Self::SIZE {
            self.used = [0; WORDS];
        } else {
            for skipped in self.highest + 1..=index {
                let (word, bit) = Self::bit(skipped);
                self.used[word] &= !bit;
            }
        }
        self.highest = index;
    }

    fn bit(index: u64) -> (usize, u64) {
        let place = (index % Self::SIZE) as usize;
        (place / WORD, 1 << (place % WORD))
    }
}

impl<const WORDS: usize> Plain for Windows<WORDS> {
    fn write(&self, to: &mut Writer) {
        let Self { ssrcs, windows } = self;
        write_len(windows.len(), to);
        for (ssrc, window) in ssrcs.iter().zip(windows) {
            ssrc.write(to);
            window.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut read = Self::new();
        for _ in 0..from.len(SSRCS_PER_TRANSPORT)? {
            let ssrc = u32::read(from)?;
            if read.ssrcs.contains(&ssrc) {
                return Err(Unreadable::Unsound("a second window of one SSRC"));
            }
            let _ = read.ssrcs.try_push(ssrc);
            let _ = read.windows.try_push(Window::read(from)?);
        }
        Ok(read)
    }

    fn shape(of: &mut Shape) {
        of.name("Windows");
        Window::<WORDS>::shape(of);
    }
}

impl<const WORDS: usize> Plain for Window<WORDS> {
    fn write(&self, to: &mut Writer) {
        let Self { highest, used } = self;
        highest.write(to);
        used.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let window = Self { highest: Plain::read(from)?, used: Plain::read(from)? };
        // Else the highest index could be used twice.
        let used = window.highest < RTP_KEY_LIFETIME && window.ask(window.highest).is_err();
        if used { Ok(window) } else { Err(Unreadable::Unsound("a window")) }
    }

    fn shape(of: &mut Shape) {
        of.name("Window");
        of.name(&WORDS.to_string());
    }
}

/// The index nearest to `highest` that ends in `sequence` (RFC 3711 §3.3.1); `None` if it lies
/// before index 0.
fn nearest(highest: u64, sequence: u16) -> Option<u64> {
    let (roc, last) = (highest >> 16, highest as u16);
    let roc = if last < HALF {
        if sequence.saturating_sub(last) > HALF { roc.checked_sub(1)? } else { roc }
    } else if last - HALF > sequence {
        roc + 1
    } else {
        roc
    };
    Some(roc << 16 | u64::from(sequence))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SSRC: u32 = 0xcafe_babe;

    fn receive(windows: &mut RtpWindows, sequence: u16) -> Result<u64, DropReason> {
        let place = windows.ask_received(SSRC, sequence)?;
        windows.commit(place);
        Ok(place.index)
    }

    fn send(windows: &mut RtpWindows, sequence: u16) -> Result<u64, DropReason> {
        let place = windows.ask_sent(SSRC, sequence)?;
        windows.commit(place);
        Ok(place.index)
    }

    #[test]
    fn the_counter_turns_over_once_when_packets_around_the_wrap_come_out_of_order() {
        let mut windows = RtpWindows::new();
        let order = [65533, 1, 65535, 0, 65534, 3, 2];
        let indices = order.map(|sequence| receive(&mut windows, sequence));
        assert_eq!(indices, [65533, 65537, 65535, 65536, 65534, 65539, 65538].map(Ok));
        assert_eq!(receive(&mut windows, 65535), Err(DropReason::SrtpReplayed));
    }

    #[test]
    fn the_estimate_is_the_rfc_s_at_exactly_half_the_range() {
        assert_eq!(nearest(0x1_0000, 0x8000), Some(0x1_8000));
        assert_eq!(nearest(0x1_0000, 0x8001), Some(0x0_8001));
        assert_eq!(nearest(0x1_8000, 0x0000), Some(0x1_0000));
        assert_eq!(nearest(0x1_8001, 0x0000), Some(0x2_0000));
        assert_eq!(nearest(0x0_0000, 0x8001), None);
    }

    #[test]
    fn a_jump_before_index_zero_is_received_as_a_jump_ahead() {
        let mut windows = RtpWindows::new();
        assert_eq!(receive(&mut windows, 3), Ok(3));
        assert_eq!(receive(&mut windows, 65535), Ok(65535));
        assert_eq!(receive(&mut windows, 4), Ok(65540));
    }

    #[test]
    fn a_late_packet_from_before_index_zero_is_not_sent() {
        let mut windows = RtpWindows::new();
        assert_eq!(send(&mut windows, 3), Ok(3));
        assert_eq!(send(&mut windows, 65535), Err(DropReason::SrtpOld));
        assert_eq!(send(&mut windows, 4), Ok(4));
        assert_eq!(send(&mut windows, 40_000), Ok(40_000));
    }

    #[test]
    fn the_window_ends_where_it_says() {
        let mut windows = RtpWindows::new();
        let reach = REPLAY_WINDOW as u16;
        assert_eq!(receive(&mut windows, 2 * reach), Ok(2048));
        assert_eq!(receive(&mut windows, reach + 1), Ok(1025));
        assert_eq!(receive(&mut windows, reach + 1), Err(DropReason::SrtpReplayed));
        assert_eq!(receive(&mut windows, reach), Err(DropReason::SrtpOld));
    }

    #[test]
    fn a_jump_of_a_window_or_more_forgets_what_was_used() {
        for jump in [1023, 1024, 1025, 20_000] {
            let mut windows = RtpWindows::new();
            for sequence in 0..1024 {
                receive(&mut windows, sequence).unwrap();
            }
            let far = 1023 + jump;
            receive(&mut windows, far).unwrap();
            for sequence in (far - 1023)..far {
                let expected = if sequence < 1024 {
                    Err(DropReason::SrtpReplayed)
                } else {
                    Ok(u64::from(sequence))
                };
                assert_eq!(receive(&mut windows, sequence), expected);
            }
        }
    }

    #[test]
    fn asking_takes_no_place() {
        let mut windows = RtpWindows::new();
        for ssrc in 0..1000 {
            assert!(windows.ask_received(ssrc, 1).is_ok());
        }
        assert_eq!(windows.indices().count(), 0);
        for ssrc in 0..SSRCS_PER_TRANSPORT as u32 {
            let place = windows.ask_received(ssrc, 1).unwrap();
            windows.commit(place);
        }
        assert_eq!(windows.ask_received(1000, 1), Err(DropReason::SrtpSsrcs));
        assert!(windows.ask_received(5, 2).is_ok());
    }

    #[test]
    fn the_last_index_of_the_key_s_life_is_the_last_one_used() {
        let mut windows = RtpWindows::new();
        windows.restore(SsrcIndex { ssrc: SSRC, index: RTP_KEY_LIFETIME - 2 }).unwrap();
        assert_eq!(send(&mut windows, 0xffff), Ok(RTP_KEY_LIFETIME - 1));
        assert_eq!(send(&mut windows, 0), Err(DropReason::SrtpKeyExpired));
        assert_eq!(receive(&mut windows, 0), Err(DropReason::SrtpKeyExpired));
    }

    #[test]
    fn nothing_up_to_a_restored_index_is_accepted_again() {
        let mut windows = RtpWindows::new();
        let at = SsrcIndex { ssrc: SSRC, index: 0x5_1000 };
        windows.restore(at).unwrap();
        assert_eq!((at.roc(), at.sequence()), (5, 0x1000));
        assert_eq!(windows.indices().collect::<Vec<_>>(), [at]);
        assert_eq!(send(&mut windows, 0x1000), Err(DropReason::SrtpReplayed));
        assert_eq!(send(&mut windows, 0x0fff), Err(DropReason::SrtpReplayed));
        assert_eq!(send(&mut windows, 0x1001), Ok(0x5_1001));
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_further_than_half_the_range(highest in 0..RTP_KEY_LIFETIME, sequence: u16) {
            match nearest(highest, sequence) {
                Some(index) => {
                    prop_assert_eq!(index as u16, sequence);
                    prop_assert!(index.abs_diff(highest) <= 1 << 15);
                }
                None => prop_assert!(highest < 1 << 15),
            }
        }

        #[test]
        fn the_window_accepts_what_a_set_of_all_indices_accepts(
            steps in prop::collection::vec(-1300i64..1300, 1..400),
        ) {
            let mut window = Window::<RTP_WORDS>::new(5000);
            let mut used = std::collections::HashSet::from([5000]);
            let mut highest = 5000u64;
            for step in steps {
                let index = highest.saturating_add_signed(step);
                let expected = if index + 1024 <= highest {
                    Err(DropReason::SrtpOld)
                } else if used.contains(&index) {
                    Err(DropReason::SrtpReplayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.ask(index), expected);
                if expected.is_ok() {
                    window.commit(index);
                    used.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
