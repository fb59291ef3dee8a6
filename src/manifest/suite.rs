//! Tests of a manifest: what is given, what is published, and what must be there in the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bson::Document;
use serde_json::Value as Json;

use super::diagnostic::File;
use super::environment::Lookup;
use super::place::{Place, Span};
use super::{Code, Diagnostic, Diagnostics, file, load, meaning, raw, structure, yaml};
use crate::event::{EntityId, EntityType, Headers};
use crate::replication::Declaration;

/// The tests that stand in one file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file.
    pub file: String,
    /// The manifest that is tested.
    pub declaration: Arc<Declaration>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is promised, in words.
    pub name: String,
    /// The consumer's documents, each with its collection.
    pub documents: Vec<(String, Document)>,
    /// The bodies of what owners answer, by replica. An owner that is not here does not answer.
    pub owners: Owners,
    /// What is published.
    pub events: Vec<Event>,
    /// What must be there in the end.
    pub expected: Expected,
}

/// The bodies of what owners answer, by replica and entity.
pub type Owners = BTreeMap<EntityType, BTreeMap<EntityId, String>>;

/// A message as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The source that it comes from.
    pub source: String,
    /// The body, as JSON.
    pub body: String,
    /// The type of the body. A CloudEvent says itself in which mode it is.
    pub content_type: String,
    /// Its headers.
    pub headers: Headers,
    /// The routing key, if that is said.
    pub key: Option<String>,
}

/// What must be there in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Documents, and the entities of replicas.
    pub documents: Vec<ExpectedDocument>,
    /// How many events are put aside.
    pub parked: usize,
    /// What rules tell others, if that matters.
    pub emitted: Option<Vec<Emitted>>,
}

/// A document that must be there, or must not.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedDocument {
    /// The collection, replica or read model.
    pub of: String,
    /// Its id, as text.
    pub id: String,
    /// What it must be like; nothing, where there must be none.
    pub fields: Option<Json>,
}

/// A message that a rule has others told.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// Where it goes.
    pub exchange: String,
    /// Under which key.
    pub key: String,
    /// Its type.
    pub kind: String,
    /// What it says, if that matters.
    pub data: Option<Json>,
}

/// The files of tests that are named, and those that lie in folders that are named: `*.test.yaml` and `*.test.yml`.
pub fn suites(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut findings = Vec::new();
    let found = file::find_tests(paths, &mut findings);
    if findings.is_empty() { Ok(found) } else { Err(Diagnostics::of_tests(Vec::new(), findings)) }
}

/// Reads a file of tests, and the manifest that it tests.
///
/// `${NAME}` in values is replaced from this process's environment, as in manifests.
pub fn load_suite(path: &Path) -> Result<Suite, Diagnostics> {
    let mut findings = Vec::new();
    let Some(file) = file::read(path, &mut findings) else {
        return Err(Diagnostics::of_tests(Vec::new(), findings));
    };
    match understand(path, &file, &|name| std::env::var(name).ok(), &mut findings) {
        Some(Ok(suite)) if findings.is_empty() => Ok(suite),
        Some(Err(manifest)) if findings.is_empty() => Err(manifest),
        _ => Err(Diagnostics::of_tests(vec![file], findings)),
    }
}

/// Reads the tests; the error is what is wrong with the manifest.
fn understand(
    path: &Path,
    file: &File,
    lookup: Lookup<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Result<Suite, Diagnostics>> {
    let mut tree = match yaml::read(&file.text, 0, lookup, findings) {
        Ok(tree) => tree,
        Err(broken) => {
            findings.push(if broken.code() == Code::Empty { empty() } else { broken });
            return None;
        }
    };
    let schema = schemars::schema_for!(raw::Suite).to_value();
    let broken = structure::check("the test file", Place::root(&tree), &schema, findings);
    tree.break_at(&broken);
    let root = Place::root(&tree);
    if root.is_broken() {
        return None;
    }
    let manifest = match manifest_of(path, root) {
        Ok(manifest) => manifest,
        Err(missing) => {
            findings.push(missing);
            return None;
        }
    };
    Some(load(&[manifest]).map(|declaration| {
        let cases = meaning::read_suite(root, &declaration, findings);
        Suite { file: file.name.clone(), declaration: Arc::new(declaration), cases }
    }))
}

/// The manifest that is tested: the one that is named, or the one beside the tests.
fn manifest_of(path: &Path, root: Place<'_>) -> Result<PathBuf, Diagnostic> {
    let named = root.get("manifest");
    let beside = path.file_stem().map(|stem| Path::new(stem).with_extension("yaml")).unwrap_or_default();
    let manifest = named.and_then(Place::text).map_or(beside, PathBuf::from);
    let manifest = path.parent().unwrap_or(Path::new("")).join(manifest);
    if manifest.exists() {
        return Ok(manifest);
    }
    let message = format!("there is no manifest `{}`", manifest.display());
    let start = Span { end: root.key.start, ..root.key };
    Err(match named {
        Some(named) => Diagnostic::new(Code::Unreadable, named.mark(), message)
            .why("this leads nowhere")
            .help("a path goes from the folder of the tests"),
        None => Diagnostic::new(Code::Unreadable, start, message)
            .why("these tests do not say what they test")
            .help("name the manifest: `manifest: …`, from the folder of the tests"),
    })
}

fn empty() -> Diagnostic {
    let at = Span { file: 0, start: 0, end: 0 };
    Diagnostic::new(Code::Empty, at, "the file has no tests")
        .why("there is no key in it")
        .help("begin with `tests:`, and below it `- name: …`")
}
