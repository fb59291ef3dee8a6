//! Files that others wrote: JSON or YAML, and events one a line.

use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// The deepest nesting of a file that is read here.
const DEEPEST: usize = 100;
/// The most values in one.
const MOST: usize = 1_000_000;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("`{0}` cannot be read")]
    File(String, #[source] std::io::Error),
    #[error("`{file}`, line {line}: this is no JSON object: {detail}")]
    Line { file: String, line: usize, detail: String },
    #[error("`{0}` has no event in it")]
    Empty(String),
    #[error("`{file}` is neither JSON nor YAML: {detail}")]
    Form { file: String, detail: String },
}

/// Events, one JSON object a line; empty lines are passed over.
pub(super) fn events(path: &Path) -> Result<Vec<Value>, ReadError> {
    let (file, text) = (path.display().to_string(), text(path)?);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let event = |(number, line): (usize, &str)| {
        let wrong = |detail: String| ReadError::Line { file: file.clone(), line: number + 1, detail };
        match serde_json::from_str::<Value>(line) {
            Ok(event @ Value::Object(_)) => Ok(event),
            Ok(_) => Err(wrong("it is another kind of value".into())),
            // Where it is wrong, and not what stands there.
            Err(error) => Err(wrong(format!("column {}", error.column()))),
        }
    };
    let events = lines.map(event).collect::<Result<Vec<_>, _>>()?;
    if events.is_empty() { Err(ReadError::Empty(file)) } else { Ok(events) }
}

/// A document in JSON or YAML.
pub(super) fn document(path: &Path) -> Result<Value, ReadError> {
    let text = text(path)?;
    if let Ok(value) = serde_json::from_str(&text) {
        return Ok(value);
    }
    let file = path.display().to_string();
    yaml(&text).map_err(|detail| ReadError::Form { file, detail })
}

fn text(path: &Path) -> Result<String, ReadError> {
    std::fs::read_to_string(path).map_err(|error| ReadError::File(path.display().to_string(), error))
}

fn yaml(text: &str) -> Result<Value, String> {
    let mut reader = Yaml { parser: Parser::new_from_str(text), left: MOST };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Err("there is nothing in it".into()),
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing | Event::DocumentEnd => {}
            event => return reader.value(event, 0),
        }
    }
}

struct Yaml<'t> {
    parser: Parser<'t, StrInput<'t>>,
    left: usize,
}

impl<'t> Yaml<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next_event() {
            None => Ok(Event::StreamEnd),
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    fn value(&mut self, event: Event<'t>, depth: usize) -> Result<Value, String> {
        self.left = self.left.checked_sub(1).ok_or("it has too many values")?;
        if depth > DEEPEST {
            return Err("it is nested too deeply".into());
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(scalar(&text, style)),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(items.into()),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Map::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => return Ok(entries.into()),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err("a key is no text".into()),
                    };
                    let event = self.next()?;
                    entries.insert(name, self.value(event, depth + 1)?);
                }
            }
            Event::Alias(_) => Err("aliases are not followed; write what they stand for".into()),
            _ => Err("it ends too early".into()),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_json_would_be() {
        let text = "a: 1\nb: [x, 'yes', true, ~]\nc:\n  - d: >\n      long\n      text\n  - {}\n'200': 1.5\n";
        let expected =
            json!({ "a": 1, "b": ["x", "yes", true, null], "c": [{ "d": "long text\n" }, {}], "200": 1.5 });
        assert_eq!(yaml(text), Ok(expected));
        assert!(yaml("a: *b").is_err() && yaml("[").is_err() && yaml("").is_err());
    }
}
