//! Plain text is scanned, nothing is parsed: comments and literals are blanked out first, and so is what stands
//! under `#[cfg(test)]`, where a law is not about tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Without comments and literals, line by line as long as before.
    pub(crate) code: String,
    /// Without tests, too.
    pub(crate) own: String,
}

/// Fails with the law and all that breaks it.
pub(crate) fn none(broken: &[String], law: &str) {
    assert!(broken.is_empty(), "{law}; broken at\n  {}", broken.join("\n  "));
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn sources() -> Vec<File> {
    files("src")
}

pub(crate) fn all() -> Vec<File> {
    ["src", "tests", "examples", "benches"].into_iter().flat_map(files).collect()
}

/// Every Rust file below a folder.
pub(crate) fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(file(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "there is no Rust file in {folder}");
    found
}

fn file(path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap();
    let code = without_literals(&text);
    let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    File { own: without_tests(&code), path, text, code }
}

/// The module of the crate that a file belongs to.
pub(crate) fn module(file: &File) -> &str {
    let inside = file.path.trim_start_matches("src/");
    inside.split(['/', '.']).next().unwrap_or_default()
}

/// The file and line of a byte.
pub(crate) fn place_of(file: &File, at: usize) -> String {
    format!("{}:{}", file.path, line(&file.text, at))
}

pub(crate) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Where a word stands as a whole word.
pub(crate) fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// Whether a path is this one or lies under it.
pub(crate) fn leads(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The paths below the crate's root that a file names, each with its place.
pub(crate) fn imports(file: &File) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for at in words(&file.own, "crate") {
        let Some(tree) = file.own[at..].strip_prefix("crate::") else { continue };
        let place = place_of(file, at);
        found.extend(paths(tree).into_iter().map(|path| (place.clone(), path)));
    }
    let depth = file.path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count();
    let root = "super::".repeat(depth);
    found.extend(file.own.match_indices(&root).map(|(at, _)| (place_of(file, at), root.clone())));
    found
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let end = tree.find(|letter: char| !is_path(letter)).unwrap_or(tree.len());
    let (head, rest) = tree.split_at(end);
    if !rest.starts_with('{') {
        return vec![head.trim_end_matches("::").to_owned()];
    }
    let inside = &rest[1..closing(rest, 0).unwrap_or(rest.len())];
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(&inside[std::mem::replace(&mut start, at + 1)..at]),
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| paths(part).into_iter().map(|path| format!("{head}{path}"))).collect()
}

/// Where the brace closes that opens at this byte.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Each function with its number of lines.
pub(crate) fn functions(code: &str) -> impl Iterator<Item = (usize, usize)> {
    words(code, "fn").filter_map(|at| {
        let named =
            code[at + 2..].trim_start().starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
        let open = at + code[at..].find(['{', ';']).filter(|_| named)?;
        let close = code[open..].starts_with('{').then(|| closing(code, open)).flatten()?;
        Some((at, line(code, close) - line(code, at) + 1))
    })
}

/// Blanks out what stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut own = code.to_owned();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let Some(end) = code[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
        let end = if code[end..].starts_with('{') { closing(code, end).unwrap_or(end) } else { end };
        own.replace_range(at..=end, &blank(&code[at..=end]));
    }
    own
}

fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Blanks out comments, texts and characters; every line keeps its length.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    while code.len() < text.len() {
        let rest = &text[code.len()..];
        match literal(rest, &code) {
            0 => code.push_str(&rest[..rest.chars().next().map_or(1, char::len_utf8)]),
            length => code.push_str(&blank(&rest[..length])),
        }
    }
    code
}

/// How long the comment or literal is that a text begins with; 0 if it begins with neither.
fn literal(text: &str, before: &str) -> usize {
    let in_word = before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let raw = text.trim_start_matches('b').strip_prefix('r').filter(|_| !in_word);
    let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
    match raw.filter(|raw| raw[hashes..].starts_with('"')) {
        Some(_) => {
            let end = format!("\"{}", "#".repeat(hashes));
            let open = text.find('"').unwrap_or_default() + 1;
            open + text[open..].find(&end).map_or(text.len() - open, |at| at + end.len())
        }
        None if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        None if text.starts_with("/*") => text.find("*/").map_or(text.len(), |at| at + 2),
        None if text.starts_with('"') => quoted(text, '"'),
        None if text.starts_with('\'') && is_character(text) => quoted(text, '\''),
        None => 0,
    }
}

/// Tells a character from a lifetime.
fn is_character(text: &str) -> bool {
    let mut letters = text.chars().skip(1);
    letters.next() == Some('\\') || letters.next() == Some('\'')
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
