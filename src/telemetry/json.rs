//! Log lines as flat JSON objects.

use std::fmt;
use std::io::Write;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// Writes each event as one line: `time` (RFC 3339, UTC), `level`, `target`, `msg`, then the event's own fields,
/// then those of the spans around it, the innermost first; a name that stands already is not repeated.
pub struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    /// Writes to whatever this makes.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// Fields in the order they were given.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = Line::default();
        line.put("time", &now().into());
        line.put("level", &metadata.level().as_str().into());
        line.put("target", &metadata.target().into());
        line.put("msg", &own.take("message").unwrap_or_default());
        line.put_all(&own);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.put_all(fields);
            }
        }
        // A log that cannot be written has nobody to be reported to.
        self.writer.make_writer_for(metadata).write_all(&line.end()).ok();
    }
}

fn now() -> String {
    jiff::Timestamp::from_microsecond(clock::wall_micros())
        .map(|time| format!("{time:.6}"))
        .unwrap_or_default()
}

/// A line under way.
#[derive(Default)]
struct Line {
    names: Vec<&'static str>,
    text: Vec<u8>,
}

impl Line {
    fn put(&mut self, name: &'static str, value: &Value) {
        if self.names.contains(&name) {
            return;
        }
        self.text.push(if self.names.is_empty() { b'{' } else { b',' });
        self.names.push(name);
        for part in [&Value::from(name), value] {
            self.text.extend_from_slice(part.to_string().as_bytes());
            self.text.push(b':');
        }
        self.text.pop();
    }

    fn put_all(&mut self, fields: &Fields) {
        for (name, value) in &fields.0 {
            self.put(name, value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"}\n");
        self.text
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.take(field.name());
        self.0.push((field.name(), value));
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_one_flat_object_that_begins_with_time_level_target_and_message() {
        let text = logged(|| {
            let outer = tracing::info_span!("outer", trace.id = "abc", attempt = 1);
            let _outer = outer.enter();
            let inner = tracing::info_span!("inner", attempt = 2, later = tracing::field::Empty);
            inner.record("later", true);
            let _inner = inner.enter();
            tracing::warn!(event = "tried", entity.id = "4\n2", rows = 3_u64, "it \"failed\"");
        });
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.starts_with(r#"{"time":"2"#), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let mut expected = serde_json::json!({
            "level": "WARN", "target": "nearcopy::telemetry::json::tests", "msg": "it \"failed\"",
            "event": "tried", "entity.id": "4\n2", "rows": 3, "attempt": 2, "later": true, "trace.id": "abc",
        });
        expected["time"] = line["time"].clone();
        assert_eq!(line, expected);
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn an_error_is_written_with_its_causes() {
        let error = crate::telemetry::check_filter("nearcopy=loud").unwrap_err();
        let text = logged(|| tracing::error!(error = &error as &dyn std::error::Error, "no"));
        let line: Value = serde_json::from_str(&text).unwrap();
        let said = line["error"].as_str().unwrap();
        assert!(said.starts_with("the log filter `nearcopy=loud` is not understood: "), "{said}");
    }
}
