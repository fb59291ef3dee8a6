//! The README's walk from sample events to a chart says what happens to whoever types it.

use std::path::Path;
use std::process::Command;

use crate::program::scratch;

const CHAPTER: &str = "\n## From sample events to a chart\n";
/// What a step begins with that others play: the build has been made already, and `make chart` has Helm.
const NOT_HERE: [&str; 2] = ["cargo build", "helm "];

/// What is typed, and what it then says, as far as that is told.
struct Step {
    typed: String,
    says: Option<String>,
}

/// The steps of a chapter: each block for a shell, and each line behind a `$` with what follows upon it.
fn steps(chapter: &str) -> Vec<Step> {
    let (mut steps, mut fence) = (Vec::new(), None);
    for line in chapter.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(""), Some(_)) => fence = None,
            (Some(language), None) => {
                fence = Some(language);
                if language == "sh" {
                    steps.push(Step { typed: String::new(), says: None });
                }
            }
            (_, Some("sh")) => steps.last_mut().unwrap().typed += &format!("{line}\n"),
            (_, Some("console")) => match line.strip_prefix("$ ") {
                Some(typed) => steps.push(Step { typed: format!("{typed}\n"), says: Some(String::new()) }),
                None => *steps.last_mut().unwrap().says.as_mut().unwrap() += &format!("{line}\n"),
            },
            _ => {}
        }
    }
    steps
}

#[test]
fn whoever_types_the_walk_of_the_readme_sees_what_it_shows() {
    let readme = include_str!("../../README.md");
    let chapter = readme.split(CHAPTER).nth(1).unwrap().split("\n## ").next().unwrap();
    let here = scratch("walk/begun", b"");
    let folder = here.parent().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_nearcopy")).parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut compared = 0;
    for Step { typed, says } in steps(chapter) {
        if NOT_HERE.iter().any(|program| typed.contains(program)) {
            continue;
        }
        let script = format!("exec 2>&1\n{typed}");
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &script]).env_clear().env("PATH", &path).env("NEARCOPY", "/nearcopy");
        let ended = shell.current_dir(folder).output().unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        match says {
            Some(says) => assert_eq!(said, says, "$ {typed}"),
            None => assert!(ended.status.success(), "$ {typed}{said}"),
        }
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} steps were found");
}
