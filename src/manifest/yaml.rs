//! One pass over YAML text gives the tree of its values, each with its place, within firm bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::environment::{self, Lookup, Why};
use super::place::{Key, Node, Span, Value};
use super::{Code, Diagnostic, scalar};

/// The deepest nesting of a manifest.
const DEEPEST: usize = 24;
/// The most values in one file, those that aliases repeat counted again.
const MOST: usize = 20_000;

/// Reads one file. What is wrong and leaves a tree is added to the findings; what leaves none is the error.
pub(super) fn read(
    text: &str,
    file: usize,
    lookup: Lookup<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Result<Node, Diagnostic> {
    let offsets = text.char_indices().map(|(offset, _)| offset).collect();
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        text,
        offsets,
        file,
        lookup,
        findings,
        anchors: BTreeMap::new(),
        count: 0,
    };
    reader.document()
}

struct Reader<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// The byte at which each character begins: the parser counts characters.
    offsets: Vec<usize>,
    file: usize,
    lookup: Lookup<'f>,
    findings: &'f mut Vec<Diagnostic>,
    /// Finished values by their anchor, with the number of values in each.
    anchors: BTreeMap<usize, (Node, usize)>,
    count: usize,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Result<Node, Diagnostic> {
        let empty = || {
            let at = Span { file: self.file, start: 0, end: 0 };
            Diagnostic::new(Code::Empty, at, "the file declares nothing")
                .why("there is no key in it")
                .help("a manifest begins with `service: <name of the consuming service>`")
        };
        let empty = empty();
        let mut document = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentStart(_), at) if document.is_some() => {
                    return Err(Diagnostic::new(Code::SecondDocument, at, "a second document begins here")
                        .why("everything from here on would be left out")
                        .help("one file holds one document; put the second one into a file of its own"));
                }
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (event, at) => document = Some(self.node(event, at, 0)?),
            }
        }
        document.filter(|node| !matches!(node.value, Value::Null)).ok_or(empty)
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Diagnostic> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span { file: self.file, start: 0, end: 0 })),
            Some(Ok((event, span))) => {
                let (start, end) = (self.offset(span.start), self.offset(span.end));
                Ok((event, Span { file: self.file, start, end: end.max(start) }))
            }
            Some(Err(error)) => Err(self.not_yaml(&error)),
        }
    }

    fn offset(&self, mark: Marker) -> usize {
        self.offsets.get(mark.index()).copied().unwrap_or(self.text.len())
    }

    fn node(&mut self, event: Event<'t>, at: Span, depth: usize) -> Result<Node, Diagnostic> {
        self.admit(1, at)?;
        if depth > DEEPEST {
            return Err(too_deep(at));
        }
        let before = self.count;
        let (node, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                (self.scalar(text, style, at), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                (self.list(at, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                (self.map(at, depth)?, anchor)
            }
            other => return Err(Diagnostic::new(Code::NotYaml, at, format!("unexpected {other:?}"))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.count - before + 1));
        }
        Ok(node)
    }

    /// Counts values before they are built, so that a few bytes of aliases cannot ask for all memory.
    fn admit(&mut self, more: usize, at: Span) -> Result<(), Diagnostic> {
        self.count += more;
        if self.count <= MOST {
            return Ok(());
        }
        Err(Diagnostic::new(Code::TooMuch, at, "the manifest has too many values")
            .why(format!("more than {MOST}, counting what aliases repeat"))
            .help("write it without aliases, or split it into several files"))
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Result<Node, Diagnostic> {
        let Some((node, weight)) = self.anchors.get(&anchor).map(|(node, weight)| (node, *weight)) else {
            return Err(Diagnostic::new(Code::BadAlias, at, "an alias stands inside the value it repeats")
                .why("this would never end")
                .help("write the value out instead"));
        };
        let node = node.clone();
        self.admit(weight, at)?;
        Ok(node)
    }

    fn refuse_tag(&mut self, tagged: bool, at: Span) {
        if tagged {
            let found = Diagnostic::new(Code::Tag, at, "YAML tags are not used in a manifest")
                .why("this value has a tag")
                .help("remove the `!…`; for text, put the value in quotes");
            self.findings.push(found);
        }
    }

    fn list(&mut self, at: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    let span = Span { end: end.end.max(at.start), ..at };
                    return Ok(Node { span, value: Value::List(items) });
                }
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, at: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen = BTreeMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, end) => {
                    let span = Span { end: end.end.max(at.start), ..at };
                    return Ok(Node { span, value: Value::Map(entries) });
                }
                (Event::Scalar(text, ..), span) => Key { text: text.into_owned(), span },
                (_, at) => return Err(bad_key(at)),
            };
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth + 1)?;
            match seen.insert(key.text.clone(), key.span) {
                None => entries.push((key, node)),
                Some(first) => {
                    seen.insert(key.text.clone(), first);
                    self.findings.push(duplicate(&key, first));
                }
            }
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, at: Span) -> Node {
        let offset = self.verbatim(&text, style, at);
        let replaced = match environment::replace(&text, self.lookup) {
            Ok(replaced) => replaced,
            Err(fault) => {
                let value = Value::Text(text.into_owned(), offset);
                let node = Node { span: at, value };
                let mark = offset.map_or(at, |offset| {
                    let start = offset + fault.from;
                    Span { start, end: start + fault.length, ..at }
                });
                self.findings.push(bad_variable(&fault.why, mark));
                return node;
            }
        };
        let offset = if replaced.is_some() { None } else { offset };
        let text = replaced.unwrap_or_else(|| text.into_owned());
        let value = if style == ScalarStyle::Plain {
            scalar::resolve(text, offset).unwrap_or_else(|text| {
                self.findings.push(bad_number(at));
                Value::Text(text, offset)
            })
        } else {
            Value::Text(text, offset)
        };
        Node { span: at, value }
    }

    /// The byte at which the text stands in the file just as it is, without escapes and folds.
    fn verbatim(&self, text: &str, style: ScalarStyle, at: Span) -> Option<usize> {
        let quote = match style {
            ScalarStyle::Plain => 0,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        let start = at.start + quote;
        self.text.get(start..).filter(|rest| rest.starts_with(text)).map(|_| start)
    }

    fn not_yaml(&self, error: &ScanError) -> Diagnostic {
        let start = self.offset(*error.marker());
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let at = Span { file: self.file, start, end: start };
        if error.info().contains("recursion limit") {
            return too_deep(at);
        }
        if error.info().contains("unknown anchor") {
            return Diagnostic::new(Code::BadAlias, at, "this alias leads nowhere")
                .why("no anchor of this name stands before it")
                .help("write the value out instead; for text that begins with `*`, use quotes");
        }
        let found = Diagnostic::new(Code::NotYaml, at, "this is not YAML").why(error.info());
        if line.trim_start_matches(' ').starts_with('\t') {
            found.help("indent with spaces: YAML forbids tabs")
        } else if line.contains("${") && line.contains(['{', '[']) {
            found.help("inside `{ }` and `[ ]`, put a value with `${…}` in quotes")
        } else if error.info().contains("mapping values") {
            found.help("a text that contains `: ` must stand in quotes; or is the line indented wrongly?")
        } else {
            found.help("check indentation, quotes and brackets here and on the line above")
        }
    }
}

fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::new(Code::TooDeep, at, "the manifest is nested too deeply")
        .why(format!("more than {DEEPEST} levels"))
        .help("no part of a manifest needs this; is a bracket not closed?")
}

fn bad_key(at: Span) -> Diagnostic {
    Diagnostic::new(Code::BadKey, at, "a key must be text")
        .why("this is no text")
        .help("write `name: value`, each key on a line of its own")
}

fn duplicate(key: &Key, first: Span) -> Diagnostic {
    Diagnostic::new(Code::DuplicateKey, key.span, format!("the key `{}` stands twice", key.text))
        .why("again here")
        .also(first, "first here")
        .help("keep one of the two")
}

fn bad_number(at: Span) -> Diagnostic {
    Diagnostic::new(Code::BadNumber, at, "this number cannot be kept exactly")
        .why("it does not fit 64 bits")
        .help("put it in quotes if it is meant as text")
}

fn bad_variable(why: &Why, at: Span) -> Diagnostic {
    let bad = |message: &str| Diagnostic::new(Code::BadVariable, at, message);
    match why {
        Why::Unset(name) => {
            let message = format!("the environment variable `{name}` is not set");
            Diagnostic::new(Code::UnsetVariable, at, message)
                .why("it has no default here")
                .help(format!("set it, or give a default: `${{{name}:-…}}`"))
        }
        Why::Unclosed => bad("a `${` is not closed")
            .why("its `}` is missing")
            .help("write `${NAME}` or `${NAME:-default}`; `$${` for `${` itself"),
        Why::BadName => bad("this is no name of an environment variable")
            .why("letters, digits and `_`, no digit first")
            .help("write `${NAME}` or `${NAME:-default}`; `$${` for `${` itself"),
        Why::TooLong => bad("the value is too long with its variables replaced")
            .help("a value has at most 16 KiB; look at what the variable holds"),
    }
}
