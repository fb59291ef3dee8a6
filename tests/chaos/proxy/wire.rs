//! What the bytes mean, as far as a fault needs to know.

/// The protocol that passes.
pub(crate) enum Wire {
    /// AMQP 0.9.1: its acknowledgements are counted.
    Amqp,
    /// MongoDB's: where a reply names a member, it is made to name the proxy before that member. Both must be
    /// texts of the same length.
    MongoDb(Vec<(String, String)>),
}

/// AMQP begins with its name and version.
const GREETING: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// What an AMQP frame has around its payload: type, channel, size, end.
const FRAME: usize = 8;
/// No reply that tells of members is larger.
const HELLO: usize = 16 * 1024;

impl Wire {
    /// Takes the first whole unit out of what has come.
    pub(crate) fn take(&self, held: &mut Vec<u8>, is_request: bool) -> Option<Vec<u8>> {
        let size = match self {
            Self::Amqp if !is_request => held.len(),
            Self::Amqp if held.starts_with(GREETING) => GREETING.len(),
            Self::Amqp => frame(held)?,
            Self::MongoDb(_) => usize::try_from(u32::from_le_bytes(held.get(..4)?.try_into().ok()?)).ok()?,
        };
        if size == 0 || held.len() < size {
            return None;
        }
        let rest = held.split_off(size);
        Some(std::mem::replace(held, rest))
    }

    /// How many acknowledgements a request has: `basic.ack` is method 80 of class 60.
    pub(crate) fn acknowledgements(&self, unit: &[u8]) -> usize {
        let is_method = matches!(self, Self::Amqp) && unit.first() == Some(&1);
        usize::from(is_method && unit.get(FRAME - 1..FRAME + 3) == Some(&[0, 60, 0, 80]))
    }

    /// Puts proxies in the place of members.
    pub(crate) fn rename(&self, unit: &mut [u8]) {
        let Self::MongoDb(names) = self else { return };
        if unit.len() > HELLO {
            return;
        }
        for (member, proxy) in names {
            let mut at = 0;
            while let Some(found) =
                unit[at..].windows(member.len()).position(|text| text == member.as_bytes())
            {
                unit[at + found..][..proxy.len()].copy_from_slice(proxy.as_bytes());
                at += found + proxy.len();
            }
        }
    }
}

/// The size of the frame that begins here.
fn frame(held: &[u8]) -> Option<usize> {
    let size = u32::from_be_bytes(held.get(3..7)?.try_into().ok()?);
    Some(usize::try_from(size).ok()? + FRAME)
}
