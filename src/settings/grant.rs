//! Tokens, one a line, and behind each the replicas that it is for: who may read them, or who asks their owners.

use std::collections::BTreeSet;

use secrecy::SecretString;

/// How many characters a token has at least.
const SHORTEST: usize = 16;

/// A token, and what it is for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What its bearer knows.
    pub token: SecretString,
    /// The replicas, or feeds, it is for; all of them, where none is named.
    pub replicas: BTreeSet<String>,
}

/// Reads all lines; or says what is wrong, without repeating any of it.
pub(super) fn parse(text: &str) -> Result<Vec<Grant>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.enumerate().map(|(at, line)| one(at + 1, line)).collect()
}

fn one(number: usize, line: &str) -> Result<Grant, String> {
    let mut words = line.split_ascii_whitespace();
    let token = words.next().unwrap_or_default();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "must have tokens of {SHORTEST} visible ASCII characters or more; the one of line {number} is none"
        ));
    }
    Ok(Grant { token: token.into(), replicas: words.map(str::to_owned).collect() })
}
