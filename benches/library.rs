//! The libraries of the contenders in other languages: got from their registries at first use, in pinned versions.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::contender::Contender;
use crate::report::note;

const NODE: [&str; 2] = ["amqplib@2.3.1", "mongodb@7.9.0"];
const PYTHON: [&str; 2] = ["pika==1.4.4", "pymongo==4.20.1"];

/// Gets what a contender needs into this folder, unless it is there; or says why it cannot take part.
pub(crate) fn get(contender: Contender, folder: &Path) -> Result<(), String> {
    match contender {
        Contender::Node | Contender::NodeSingly => {
            let npm = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
            put(&folder.join("node"), "npm", &npm, &NODE)
        }
        Contender::Python => {
            let pip = ["-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--target"];
            put(&folder.join("python"), "python3", &pip, &PYTHON)
        }
        Contender::Raw | Contender::RawLapin | Contender::Nearcopy | Contender::OneByOne => Ok(()),
    }
}

/// What is there in full has a file that names it.
fn put(folder: &Path, program: &str, arguments: &[&str], libraries: &[&str]) -> Result<(), String> {
    let (label, wanted) = (folder.join("complete"), libraries.join(" "));
    if fs::read_to_string(&label).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    note(&format!("getting {wanted}"));
    let failed = |error: std::io::Error| format!("{program} cannot get {wanted}: {error}");
    fs::create_dir_all(folder).map_err(failed)?;
    let output =
        Command::new(program).args(arguments).arg(folder).args(libraries).stdin(Stdio::null()).output();
    let output = output.map_err(failed)?;
    if !output.status.success() {
        return Err(format!("{program} cannot get {wanted}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    fs::write(label, &wanted).map_err(failed)
}
