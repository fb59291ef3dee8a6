//! The manifest: YAML in, a [`Declaration`] out, or all that is wrong with it at once.
//!
//! The way of a text: one pass gives a tree whose values know their places (`yaml`, with the environment's
//! variables replaced), files are merged by name (`merge`), the tree is compared with the very schema that
//! is printed (`structure`), the `.proto` files that it names are compiled (`proto`), and what then still has a
//! form is read for its meaning (`meaning`). Each step adds to one list of findings and goes on, so that a person sees everything after one run.

mod code;
mod diagnostic;
mod environment;
mod file;
mod meaning;
mod merge;
mod place;
mod proto;
mod raw;
mod scalar;
mod structure;
mod suggest;
mod suite;
mod yaml;

use std::path::PathBuf;

use crate::replication::Declaration;
use diagnostic::File;
use place::Place;

pub use code::Code;
pub(crate) use diagnostic::picture;
pub use diagnostic::{Diagnostic, Diagnostics, Location};
pub use suite::{Case, Emitted, Event, Expected, ExpectedDocument, Owners, Suite, load_suite, suites};

/// Reads manifests: files, and folders' `*.yaml` and `*.yml`, merged by name. What holds tests is passed over.
///
/// `${NAME}` in values is replaced from this process's environment.
pub fn load(paths: &[PathBuf]) -> Result<Declaration, Diagnostics> {
    let mut findings = Vec::new();
    let files = file::read_all(paths, &mut findings);
    understand(files, &|name| std::env::var(name).ok(), &proto::from_disk, findings)
}

/// What tells the files of a manifest, as they are now, from any others.
pub fn fingerprint(paths: &[PathBuf]) -> u64 {
    let files = file::read_all(paths, &mut Vec::new());
    let all: String = files.iter().map(|file| format!("{}\0{}\0", file.name, file.text)).collect();
    xxhash_rust::xxh3::xxh3_64(all.as_bytes())
}

/// Reads one manifest from text; `name` stands for the file in diagnostics, `lookup` for the environment. What has no
/// folder has no other files beside it.
pub fn parse(
    name: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Declaration, Diagnostics> {
    let mut findings = Vec::new();
    let files = file::from_text(name, text, &mut findings).into_iter().collect();
    understand(files, lookup, &proto::from_nowhere, findings)
}

/// The JSON Schema of a manifest: what editors complete by, and what [`load`] compares with.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Manifest).to_value()
}

fn understand(
    mut files: Vec<File>,
    lookup: &dyn Fn(&str) -> Option<String>,
    beside: proto::Read<'_>,
    mut findings: Vec<Diagnostic>,
) -> Result<Declaration, Diagnostics> {
    let all_read = findings.is_empty();
    let mut trees = Vec::new();
    for (number, file) in files.iter().enumerate() {
        match yaml::read(&file.text, number, lookup, &mut findings) {
            Ok(tree) => trees.push(tree),
            Err(broken) => findings.push(broken),
        }
    }
    // Without one of the files, every name that it declares would be called unknown.
    let complete = all_read && trees.len() == files.len();
    let merged = if complete { merge::merge(trees, &mut findings) } else { None };
    let declaration = merged.and_then(|mut root| {
        let broken = structure::check("the manifest", Place::root(&root), &schema(), &mut findings);
        root.break_at(&broken);
        let protos = proto::compile(Place::root(&root), &mut files, beside, &mut findings);
        meaning::read(Place::root(&root), protos.as_ref(), &mut findings)
    });
    match declaration {
        Some(declaration) if findings.is_empty() => Ok(declaration),
        _ => Err(Diagnostics::new(files, findings)),
    }
}
