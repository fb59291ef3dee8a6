//! The `.proto` files beside a manifest: found, read, and compiled.
//!
//! All that is needed is read first, so that the compiler sees texts and no disk.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use miette::Diagnostic as _;
use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File as Proto, FileResolver, GoogleFileResolver};

use super::diagnostic::File;
use super::place::{Place, Span};
use super::{Code, Diagnostic, file};

/// Reads a file's text; the error says why not.
pub(super) type Read<'r> = &'r dyn Fn(&Path) -> Result<String, String>;

/// How many files may be read.
const MOST: usize = 1_000;

/// A file as it was found: where, and what it says.
#[derive(Clone)]
struct Found {
    path: PathBuf,
    text: String,
}

/// All files by the names under which they are imported.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Found>);

/// A file that the manifest lists.
struct Listed<'t> {
    at: Place<'t>,
    text: &'t str,
    name: String,
}

/// Compiles what the manifest lists; nothing where it lists nothing, or something is wrong.
pub(super) fn compile(
    root: Place<'_>,
    files: &mut Vec<File>,
    read: Read<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<DescriptorPool> {
    let before = findings.len();
    let protos = root.get("grpc")?.get("protos")?;
    let (mut roots, mut listed, mut found) = (Vec::new(), Vec::new(), Files::default());
    for (at, text) in protos.items().filter_map(|at| Some((at, at.text()?))) {
        let folder = Path::new(&files.get(at.node.span.file)?.name).parent()?.to_owned();
        let path = folder.join(text);
        match read(&path) {
            Ok(source) => {
                let (beside, name) = named(&path, &source);
                roots.extend([beside, folder]);
                found.0.insert(name.clone(), Found { path, text: source });
                listed.push(Listed { at, text, name });
            }
            Err(why) => findings.push(unreadable(at, text, &folder, &why)),
        }
    }
    found.add_imports(&roots, read);
    let mut compiler = Compiler::with_file_resolver(found.clone().resolver());
    let mut told: Vec<String> = Vec::new();
    for listed in listed {
        if let Err(error) = compiler.include_imports(true).open_file(&listed.name) {
            // A mistake in what several files import is one mistake.
            let why = format!("{error:?}");
            if !told.contains(&why) {
                findings.push(broken(&listed, &error, &found, files));
                told.push(why);
            }
        }
    }
    (findings.len() == before).then(|| compiler.descriptor_pool())
}

impl Files {
    /// Adds whatever these files import, and so on. What is not found is left to the compiler, which knows who wants it.
    fn add_imports(&mut self, roots: &[PathBuf], read: Read<'_>) {
        let mut open: Vec<String> = self.0.keys().cloned().collect();
        while let Some(name) = open.pop() {
            let Some(found) = self.0.get(&name) else { continue };
            let Ok(proto) = Proto::from_source(&name, &found.text) else { continue };
            for import in &proto.file_descriptor_proto().dependency {
                if self.0.len() >= MOST || self.0.contains_key(import) || !is_inside(import) {
                    continue;
                }
                let mut places = roots.iter().map(|root| root.join(import));
                if let Some((text, path)) = places.find_map(|path| Some((read(&path).ok()?, path))) {
                    self.0.insert(import.clone(), Found { path, text });
                    open.push(import.clone());
                }
            }
        }
    }

    /// Google's own files first: they are the same everywhere.
    fn resolver(self) -> impl FileResolver {
        let mut chain = ChainFileResolver::new();
        chain.add(GoogleFileResolver::new());
        chain.add(self);
        chain
    }
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<Proto, protox::Error> {
        let found = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        Proto::from_source(name, &found.text)
    }
}

/// The folder from which a file's name counts, and that name. A file that lies as its package says, such as
/// `acme/v1/foos.proto`, is imported by that name; any other by its own.
fn named(path: &Path, text: &str) -> (PathBuf, String) {
    let own = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let package = Proto::from_source(&own, text).ok();
    let package = package.map(|proto| proto.file_descriptor_proto().package().replace('.', "/"));
    match package.filter(|package| !package.is_empty() && folder.ends_with(package)) {
        Some(package) => {
            let depth = package.split('/').count();
            let root = folder.ancestors().nth(depth).unwrap_or(Path::new("")).to_owned();
            (root, format!("{package}/{own}"))
        }
        None => (folder, own),
    }
}

/// Whether an import stays below the folder that it is looked for in.
fn is_inside(import: &str) -> bool {
    Path::new(import).components().all(|part| matches!(part, Component::Normal(_)))
}

fn unreadable(at: Place<'_>, text: &str, folder: &Path, why: &str) -> Diagnostic {
    let beside = match folder.display().to_string() {
        empty if empty.is_empty() => "the working folder".to_owned(),
        folder => format!("`{folder}`"),
    };
    Diagnostic::new(Code::Unreadable, at.mark(), format!("`{text}` cannot be read"))
        .why(why)
        .help(format!("files are looked for beside the manifest, in {beside}"))
}

/// A mistake in a file, told at the file that the manifest lists, and where it stands.
fn broken(listed: &Listed<'_>, error: &protox::Error, found: &Files, files: &mut Vec<File>) -> Diagnostic {
    let message = format!("`{}` does not compile", listed.text);
    let diagnostic = Diagnostic::new(Code::BadProto, listed.at.mark(), message).why(error.to_string());
    let diagnostic = if error.is_file_not_found() {
        diagnostic
            .help("an import is looked for beside the files that `protos` lists; Google's own are there")
    } else {
        diagnostic.help("correct the file; `protoc` says the same of it")
    };
    let label = error.labels().and_then(|mut labels| labels.next());
    let place = error.file().and_then(|name| found.0.get(name)).zip(label);
    let Some((found, label)) = place else { return diagnostic };
    files.push(File { name: found.path.display().to_string(), text: found.text.clone() });
    let start = label.offset();
    let span = Span { file: files.len() - 1, start, end: start + label.len() };
    diagnostic.also(span, label.label().unwrap_or("here"))
}

/// Reads a file from the disk.
pub(super) fn from_disk(path: &Path) -> Result<String, String> {
    file::read_text(path)
}

/// Where there is no disk, there is no file.
pub(super) fn from_nowhere(_: &Path) -> Result<String, String> {
    Err("a manifest that is no file has none beside it".to_owned())
}
