//! What is wrong with a manifest: all of it at once, each with its place, its reason and advice.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Code;
use super::place::Span;

/// The most mistakes that are shown; what is beyond is only counted.
const SHOWN: usize = 100;

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    code: Code,
    message: Box<str>,
    at: Option<Span>,
    why: Box<str>,
    also: Vec<(Span, String)>,
    help: Vec<String>,
}

/// Everything that is wrong with a manifest, in the order of the files.
///
/// `Display` renders it for a file or a log; [`Diagnostics::render`] for a terminal.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// What is wrong, in a word.
    of: &'static str,
    files: Vec<File>,
    found: Vec<Diagnostic>,
}

/// A file's name and text.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub name: String,
    pub text: String,
}

/// Where a mistake stands; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's name, as it was given.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Diagnostic {
    /// A mistake at a place.
    pub(super) fn new(code: Code, at: Span, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::nowhere(code, message) }
    }

    /// A mistake that has no place in any file.
    pub(super) fn nowhere(code: Code, message: impl Into<String>) -> Self {
        let message = message.into().into_boxed_str();
        Self { code, message, at: None, why: Box::default(), also: Vec::new(), help: Vec::new() }
    }

    /// Says at the caret why it is wrong.
    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = visible(&why.into()).into_boxed_str();
        self
    }

    /// Points at another place that has to do with it.
    pub(super) fn also(mut self, at: Span, what: impl Into<String>) -> Self {
        self.also.push((at, visible(&what.into())));
        self
    }

    /// Says what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(visible(&help.into()));
        self
    }

    /// What kind of mistake it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Why it is wrong, as it stands at the caret.
    pub fn reason(&self) -> &str {
        &self.why
    }

    /// What to do about it.
    pub fn advice(&self) -> &[String] {
        &self.help
    }

    fn render(&self, files: &[File], renderer: &Renderer) -> String {
        let places = self.at.map(|at| (at, &*self.why, AnnotationKind::Primary)).into_iter();
        let others = self.also.iter().map(|(at, what)| (*at, what.as_str(), AnnotationKind::Context));
        let places: Vec<_> = places.chain(others).collect();
        let mut order: Vec<usize> = Vec::new();
        for (at, ..) in &places {
            if !order.contains(&at.file) {
                order.push(at.file);
            }
        }
        let snippets = order.into_iter().filter_map(|number| {
            let file = files.get(number)?;
            let here = places.iter().filter(|(at, ..)| at.file == number);
            let marks = here.map(|(at, label, kind)| {
                let mark = kind.span(within(&file.text, *at));
                if label.is_empty() { mark } else { mark.label(*label) }
            });
            Some(Snippet::source(&file.text).path(&file.name).annotations(marks))
        });
        let title = Level::ERROR.primary_title(&*self.message).id(self.code.as_str());
        let advice = self.help.iter().map(|help| Level::HELP.message(help));
        renderer.render(&[title.elements(snippets).elements(advice)])
    }
}

impl Diagnostics {
    /// Puts mistakes in the order of the files; those without a place come first.
    pub(super) fn new(files: Vec<File>, mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|diagnostic| diagnostic.at);
        Self { of: "the manifest", files, found }
    }

    /// The same of tests of a manifest.
    pub(super) fn of_tests(files: Vec<File>, found: Vec<Diagnostic>) -> Self {
        Self { of: "the tests", ..Self::new(files, found) }
    }

    /// The mistakes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// How many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there are only diagnostics where something is wrong")]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Where a mistake stands, if it stands in a file.
    pub fn location(&self, of: &Diagnostic) -> Option<Location> {
        let at = of.at?;
        let file = self.files.get(at.file)?;
        let before = &file.text[..within(&file.text, at).start];
        let line = before.rsplit('\n').next().unwrap_or_default();
        Some(Location {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        })
    }

    /// Renders all of it for a person; colours only if asked for.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let shown = self.found.iter().take(SHOWN);
        let mut blocks: Vec<String> = shown.map(|found| found.render(&self.files, &renderer)).collect();
        let counted = match self.found.len() {
            1 => format!("1 error in {}", self.of),
            all if all > SHOWN => format!("{all} errors in {}, the first {SHOWN} are shown", self.of),
            all => format!("{all} errors in {}", self.of),
        };
        blocks.push(counted);
        blocks.join("\n\n") + "\n"
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The range brought onto the text and onto whole characters.
fn within(text: &str, at: Span) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(at.start.min(text.len()));
    let end = text.ceil_char_boundary(at.end.clamp(start, text.len()));
    start..end
}

/// What others wrote may hold codes that a terminal obeys; each stands as its picture, as in the lines that are quoted.
pub(crate) fn picture(letter: char) -> char {
    match u32::from(letter) {
        code @ ..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
        _ => letter,
    }
}

/// The text with pictures for all codes but the end of a line.
fn visible(text: &str) -> String {
    text.chars().map(|letter| if letter == '\n' { letter } else { picture(letter) }).collect()
}
