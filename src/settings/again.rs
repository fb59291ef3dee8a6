//! The files that settings come from: secrets and certificates are put in place of others while the program runs.

use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::{Settings, SettingsError};

/// Where settings were asked for, and the files that they were found in.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    file: Option<PathBuf>,
    flags: Vec<(String, String)>,
    /// The settings file, those that hold secrets, certificates and their keys.
    files: Vec<Seen>,
}

/// A file as it was at a time that is not after it was read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    path: PathBuf,
    digest: u64,
}

impl Seen {
    pub(super) fn now(path: &Path) -> Self {
        // A pipe is read once, and never looked at again.
        let is_file = fs::metadata(path).is_ok_and(|about| about.is_file());
        let contents = is_file.then(|| fs::read(path).ok()).flatten();
        Self { path: path.to_owned(), digest: contents.map_or(0, |contents| xxh3_64(&contents)) }
    }
}

impl Settings {
    /// What tells the files that these settings come from, as they were then, from any others.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.given.files.iter().map(|file| file.digest))
    }

    /// The same of these files as they are now.
    pub fn fingerprint_now(&self) -> u64 {
        fingerprint(self.given.files.iter().map(|file| Seen::now(&file.path).digest))
    }

    /// The settings as they are in these files now.
    pub fn again(&self) -> Result<Self, SettingsError> {
        Self::load(self.given.file.as_deref(), &self.given.flags)
    }

    pub(super) fn given(self, file: Option<&Path>, flags: &[(String, String)], mut files: Vec<Seen>) -> Self {
        let tls = self.read.tls.as_ref().into_iter();
        let tls = tls.flat_map(|tls| [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()]);
        files.extend(tls.flatten().map(|path| Seen::now(path)));
        Self { given: Given { file: file.map(Path::to_owned), flags: flags.to_vec(), files }, ..self }
    }
}

fn fingerprint(digests: impl Iterator<Item = u64>) -> u64 {
    let all: Vec<u8> = digests.flat_map(u64::to_le_bytes).collect();
    xxh3_64(&all)
}
