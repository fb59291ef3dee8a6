//! Finds a manifest's files and reads them as text.

use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::File;
use super::{Code, Diagnostic};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Reads every file that is named, or lies in a folder that is named, in order.
pub(super) fn read_all(paths: &[PathBuf], findings: &mut Vec<Diagnostic>) -> Vec<File> {
    let found = find(paths, |path| !is_tests(path), nothing_in, findings);
    if paths.is_empty() {
        findings.push(
            Diagnostic::nowhere(Code::NoManifest, "no manifest is given")
                .help("name a file, or a folder of `*.yaml` files"),
        );
    }
    found.iter().filter_map(|path| read(path, findings)).collect()
}

/// The files of tests that are named, or lie in a folder that is named, in order.
pub(super) fn find_tests(paths: &[PathBuf], findings: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    find(paths, is_tests, no_tests_in, findings)
}

/// The files that are named, and those of this kind that lie in folders that are named, in order.
fn find(
    paths: &[PathBuf],
    is_meant: impl Fn(&Path) -> bool,
    nothing_in: impl Fn(&Path) -> Diagnostic,
    findings: &mut Vec<Diagnostic>,
) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        let listed = if path.is_dir() { list(path, &is_meant) } else { Ok(vec![path.clone()]) };
        match listed {
            Ok(files) if files.is_empty() => findings.push(nothing_in(path)),
            Ok(files) => {
                let new: Vec<_> = files.into_iter().filter(|file| !found.contains(file)).collect();
                found.extend(new);
            }
            Err(error) => findings.push(unreadable(path, &error)),
        }
    }
    found
}

/// Whether a file holds tests of a manifest, by its name: `x.test.yaml`.
fn is_tests(path: &Path) -> bool {
    let stem = path.file_stem().map(Path::new).and_then(Path::extension);
    stem.is_some_and(|inner| inner == "test")
}

/// Takes a text as a file; `None` if it is too large.
pub(super) fn from_text(name: &str, text: &str, findings: &mut Vec<Diagnostic>) -> Option<File> {
    if text.len() as u64 > LARGEST {
        findings.push(too_large(name));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(File { name: name.to_owned(), text: text.to_owned() })
}

/// The files of a kind in a folder, by name. Hidden entries are passed over: a mounted ConfigMap has some.
fn list(folder: &Path, is_meant: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && is_meant(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file; `None` where it cannot be.
pub(super) fn read(path: &Path, findings: &mut Vec<Diagnostic>) -> Option<File> {
    let name = path.display().to_string();
    let bytes = match read_bounded(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.push(unreadable(path, &error));
            return None;
        }
    };
    if bytes.len() as u64 > LARGEST {
        findings.push(too_large(&name));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => from_text(&name, &text, findings),
        Err(error) => {
            let from = error.utf8_error().valid_up_to();
            findings.push(
                Diagnostic::nowhere(Code::NotText, format!("`{name}` is no UTF-8 text from byte {from} on"))
                    .help("save the file as UTF-8"),
            );
            None
        }
    }
}

/// Reads a file that a manifest names; the error says why it cannot be read.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 1 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("it is no UTF-8 text from byte {} on", error.utf8_error().valid_up_to()))
}

/// Reads one byte more than is accepted at most, so that even an endless file ends.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn nothing_in(folder: &Path) -> Diagnostic {
    let message = format!("there is no manifest in the folder `{}`", folder.display());
    Diagnostic::nowhere(Code::NoManifest, message)
        .help("manifests are the folder's own files that end in `.yaml` or `.yml`")
}

fn no_tests_in(folder: &Path) -> Diagnostic {
    let message = format!("there are no tests in the folder `{}`", folder.display());
    Diagnostic::nowhere(Code::NoManifest, message)
        .help("tests are the folder's own files that end in `.test.yaml`")
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::nowhere(Code::Unreadable, format!("`{}` cannot be read: {error}", path.display()))
        .help("check the path and its permissions")
}

fn too_large(name: &str) -> Diagnostic {
    Diagnostic::nowhere(Code::TooLarge, format!("`{name}` is larger than 1 MiB"))
        .help("split the manifest into several files of one folder")
}
