//! The files that settings come from: secrets and certificates are put in place of others while the program runs.

use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use super::{Settings, SettingsError};

/// Where settings were asked for, and the files that they were found in.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) file: Option<PathBuf>,
    pub(super) flags: Vec<(String, String)>,
    /// Those that a key with `_file` names.
    pub(super) named: Vec<PathBuf>,
}

impl Settings {
    /// What tells the files that these settings come from, as they are now, from any others: the settings file, those that
    /// hold secrets, certificates and their keys.
    pub fn fingerprint(&self) -> u64 {
        let tls = self.read.tls.as_ref();
        let tls = tls.into_iter().flat_map(|tls| {
            [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()].into_iter().flatten()
        });
        let mut all = Xxh3Default::new();
        for path in self.given.file.iter().chain(&self.given.named).chain(tls) {
            // One that cannot be read is different from any that can.
            let contents =
                fs::read(path).map_or([0].to_vec(), |contents| [&[1], contents.as_slice()].concat());
            all.update(&contents.len().to_le_bytes());
            all.update(&contents);
        }
        all.digest()
    }

    /// The settings as they are in these files now.
    pub fn again(&self) -> Result<Self, SettingsError> {
        Self::load(self.given.file.as_deref(), &self.given.flags)
    }

    pub(super) fn given(self, file: Option<&Path>, flags: &[(String, String)], named: Vec<PathBuf>) -> Self {
        Self { given: Given { file: file.map(Path::to_owned), flags: flags.to_vec(), named }, ..self }
    }
}
