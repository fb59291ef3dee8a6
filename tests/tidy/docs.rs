//! What is written is true: commands, metrics, settings and files that are named are there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::scan::{all, line, none, read, root, words};

/// Notes to oneself, taken apart here so that they are not found.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

#[test]
fn nothing_is_left_for_later() {
    let mut texts: Vec<(String, String)> = all().into_iter().map(|file| (file.path, file.text)).collect();
    for name in ["README.md", "CHANGELOG.md", "Makefile", "config/default.toml", "src/ARCHITECTURE.md"] {
        texts.push((name.to_owned(), read(name)));
    }
    let mut broken = Vec::new();
    for (path, text) in &texts {
        for note in NOTES {
            broken.extend(words(text, note).map(|at| format!("{path}:{}: `{note}`", line(text, at))));
        }
    }
    none(&broken, "what is to be done is done, or said where users look");
}

#[test]
fn the_readme_names_commands_that_exist() {
    let (readme, makefile, cli) = (read("README.md"), read("Makefile"), read("src/cli/mod.rs"));
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let commands = subcommands(&cli);
    let mut broken = Vec::new();
    for (number, code) in code_spans(&readme) {
        let mut words = code.split_whitespace().skip_while(|word| word.contains('='));
        let (Some(program), Some(argument)) = (words.next(), words.next()) else { continue };
        let exists = match program.rsplit('/').next() {
            Some("make") => targets.contains(argument),
            Some("nearcopy") => argument.starts_with('-') || commands.contains(argument),
            _ => true,
        };
        if !exists {
            broken.push(format!("README.md:{number}: `{program} {argument}`"));
        }
    }
    none(&broken, "a command that a reader types must be there");
}

#[test]
fn the_readme_lists_the_metrics_that_there_are() {
    let readme = read("README.md");
    let source = read("src/telemetry/metric/mod.rs")
        + &read("src/telemetry/metric/read.rs")
        + &read("src/telemetry/metric/rule.rs");
    let (told, there) = (metrics(&readme), metrics(&source));
    let missing = there.difference(&told).map(|name| format!("README.md:1: `{name}` is not told of"));
    let invented = told.difference(&there).map(|name| format!("README.md:1: there is no `{name}`"));
    let broken: Vec<String> = missing.chain(invented).collect();
    none(&broken, "alerts are written from the table of metrics");
}

#[test]
fn the_readme_explains_every_setting() {
    let (readme, defaults) = (read("README.md"), read("config/default.toml"));
    let (mut section, mut broken) = ("", Vec::new());
    for (number, line) in defaults.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let key = format!("`{section}.{key}`");
            if !readme.contains(&key) {
                broken.push(format!("config/default.toml:{}: {key} is not in README.md", number + 1));
            }
        }
    }
    none(&broken, "a setting nobody can look up is a trap");
}

#[test]
fn the_map_names_files_that_exist() {
    let map = read("src/ARCHITECTURE.md");
    let mut broken = Vec::new();
    for (number, path) in code_spans(&map).into_iter().filter(|(_, code)| is_rust(code)) {
        if !root().join("src").join(path).exists() && !root().join(path).exists() {
            broken.push(format!("src/ARCHITECTURE.md:{number}: there is no `{path}`"));
        }
    }
    none(&broken, "a map that names what is gone leads astray");
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// The words that the variants of the enum of commands are typed as.
fn subcommands(cli: &str) -> BTreeSet<String> {
    let declared = cli.split("enum Command {").nth(1).and_then(|rest| rest.split("\n}").next());
    let variants = declared.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("    "));
    let variants = variants.filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
    let name = |line: &str| {
        let mut name = String::new();
        for letter in line.chars().take_while(char::is_ascii_alphabetic) {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    };
    variants.map(name).collect()
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let found = text.match_indices("nearcopy_").filter(|(at, _)| !text[..*at].ends_with(is_name));
    found.map(|(at, _)| text[at..].split(|letter| !is_name(letter)).next().unwrap_or_default()).collect()
}

/// What stands in code in a Markdown text: inline, or in a fenced block line by line.
fn code_spans(text: &str) -> Vec<(usize, &str)> {
    let (mut fenced, mut found) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push((number + 1, line.trim()));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(|code| (number + 1, code)));
        }
    }
    found
}
