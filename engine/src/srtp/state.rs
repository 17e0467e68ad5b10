//! SRTP contexts as plain data: the master keys, what was received and sent under them, and the next
//! SRTCP index. Session keys are derived again. A backend that keeps counts of its own ([`RESTORES`])
//! can be copied from, not to.

use super::index::{RtcpWindows, RtpWindows};
use super::{Inbound, KEY_MAX, MasterKey, Masters, Mki, Outbound, RESTORES, SALT_MAX, Srtp, Suite};
use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, plain, write_len};

plain! {
    enum Suite {
        AesCm128HmacSha1_80 {} = 1,
        AesCm128HmacSha1_32 {} = 2,
        AesCm192HmacSha1_80 {} = 3,
        AesCm192HmacSha1_32 {} = 4,
        AesCm256HmacSha1_80 {} = 5,
        AesCm256HmacSha1_32 {} = 6,
        AeadAes128Gcm {} = 7,
        AeadAes256Gcm {} = 8,
        F8_128HmacSha1_80 {} = 9,
        F8_128HmacSha1_32 {} = 10,
        NullHmacSha1_80 {} = 11,
        NullHmacSha1_32 {} = 12,
    }
    struct Masters { inbound, outbound }
}

impl Plain for MasterKey {
    fn write(&self, to: &mut Writer) {
        let Self { suite, clear_srtcp, mki, key, salt } = self;
        suite.write(to);
        clear_srtcp.write(to);
        mki.write(to);
        for bytes in [&key[..], &salt[..]] {
            write_len(bytes.len(), to);
            to.put(bytes);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (suite, clear_srtcp) = (Suite::read(from)?, bool::read(from)?);
        let mki = Option::<Mki>::read(from)?;
        let key_len = from.len(KEY_MAX)?;
        let key = from.take(key_len)?;
        let salt_len = from.len(SALT_MAX)?;
        let salt = from.take(salt_len)?;
        let key = Self::new(suite, key, salt).map_err(|_| Unreadable::Unsound("a master key"))?;
        let key = if clear_srtcp { key.with_clear_srtcp() } else { key };
        Ok(match mki {
            Some(mki) => key.with_mki(mki),
            None => key,
        })
    }

    fn shape(of: &mut Shape) {
        of.name("MasterKey: suite, clear_srtcp, mki, key, salt");
        Suite::shape(of);
        Mki::shape(of);
    }
}

impl Plain for Mki {
    fn write(&self, to: &mut Writer) {
        let Self { value, len } = self;
        value.write(to);
        len.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Self::new(u64::read(from)?, u8::read(from)?).ok_or(Unreadable::Unsound("an MKI"))
    }

    fn shape(of: &mut Shape) {
        of.name("Mki: value, len");
    }
}

impl Plain for Srtp {
    fn write(&self, to: &mut Writer) {
        let Self { inbound, outbound, masters } = self;
        masters.write(to);
        let Inbound { suite: _, clear_srtcp: _, mki: _, keys: _, rtp, rtcp } = inbound;
        rtp.write(to);
        rtcp.write(to);
        let Outbound { suite: _, mki: _, keys: _, encrypted: _, rtp, next_rtcp } = outbound;
        rtp.write(to);
        next_rtcp.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        if !RESTORES {
            return Err(Unreadable::Backend(super::BACKEND));
        }
        let masters = Masters::read(from)?;
        let mut srtp = Self::new(&masters.inbound, &masters.outbound);
        srtp.inbound.rtp = Plain::read(from)?;
        srtp.inbound.rtcp = Plain::read(from)?;
        srtp.outbound.rtp = Plain::read(from)?;
        srtp.outbound.next_rtcp = Plain::read(from)?;
        Ok(srtp)
    }

    fn shape(of: &mut Shape) {
        of.name("Srtp");
        Masters::shape(of);
        RtpWindows::shape(of);
        RtcpWindows::shape(of);
    }
}
