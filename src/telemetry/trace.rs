//! The thread of a trace, by W3C Trace Context: from the headers of an event, through the logs, to the owner.

use std::fmt;

use tracing::{Instrument, Span};

use crate::event::Headers;

/// The header that carries a trace, in messages and in requests.
pub const HEADER: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Which trace something belongs to, and which step of it came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl TraceContext {
    /// Reads the header; text that breaks the rules is no trace, and nothing is made up in its place.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace: hex(trace, 32)?,
            parent: u64::try_from(hex(parent, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        };
        (context.trace != 0 && context.parent != 0).then_some(context)
    }

    /// The trace that an event belongs to, if its publisher said so.
    pub fn of_event(headers: &Headers) -> Option<Self> {
        Self::parse(headers.get(HEADER)?)
    }

    /// The next step of the same trace, as it is told to the owner.
    #[must_use]
    pub fn child(self) -> Self {
        let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self { parent: low, flags: self.flags & 1, ..self }
    }

    /// The trace's id, as logs show it.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// A span whose fields put all log lines inside it on this trace.
    pub fn span(self) -> Span {
        let parent = format!("{:016x}", self.parent);
        tracing::info_span!("trace", trace.id = self.trace_id(), trace.parent = parent)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags & 1)
    }
}

/// Does some work as a part of a trace: its log lines and its requests to owners carry it.
pub async fn within<T>(context: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    match context {
        Some(context) => CURRENT.scope(context, work.instrument(context.span())).await,
        None => work.await,
    }
}

/// Prepares work that will run as a task of its own, so that it stays a part of the running work's trace.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let (context, span) = (current(), Span::current());
    let carried = async move {
        match context {
            Some(context) => CURRENT.scope(context, work).await,
            None => work.await,
        }
    };
    carried.instrument(span)
}

/// The trace that the running work is a part of.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_get().ok()
}

/// Lower-case hexadecimal digits of exactly this number.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_read_and_handed_on_with_a_new_step() {
        let context = TraceContext::parse(TEXT).unwrap();
        assert_eq!(context.to_string(), TEXT);
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child, context);
        assert_eq!(TraceContext::parse(&child.to_string()), Some(child));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = TEXT.replace("00-4b", "cc-4b") + "-what-the-future-will-be-like";
        assert_eq!(TraceContext::parse(&later).unwrap().to_string(), TEXT);
    }

    #[test]
    fn text_that_breaks_the_rules_is_no_trace() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn work_knows_the_trace_it_is_a_part_of() {
        let context = TraceContext::parse(TEXT);
        assert_eq!(within(context, async { current() }).await, context);
        assert_eq!(within(None, async { current() }).await, None);
        let elsewhere = within(context, async { tokio::spawn(carried(async { current() })).await }).await;
        assert_eq!(elsewhere.unwrap(), context);
    }
}
