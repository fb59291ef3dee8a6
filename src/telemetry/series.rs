//! What has been measured, number by number, for whoever does not read Prometheus' text.

/// One number, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric; that of a histogram ends in `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Its labels, in the order in which they are declared.
    pub labels: Vec<(String, String)>,
    /// How much it is.
    pub value: f64,
}

/// Reads what the recorder renders: a line for each number, and comments.
pub(super) fn read(text: &str) -> Vec<Series> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(one).collect()
}

/// `name{label="value",…} number`
fn one(line: &str) -> Option<Series> {
    let (named, value) = line.rsplit_once(' ')?;
    let (name, labels) = match named.split_once('{') {
        None => (named, Vec::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
    };
    Some(Series { name: name.to_owned(), labels, value: value.parse().ok()? })
}

fn labels(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        found.push((name.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(found)
}

/// The text up to its closing quote, without its escapes, and what follows.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            plain => text.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_read_number_by_number() {
        let text = concat!(
            "# HELP a what it is\n# TYPE a counter\n",
            "a 3\n\nb{source=\"users\",replica=\"\"} 0.25\n",
            "c_bucket{of=\"a,b=\\\"}\\\\\\n\",le=\"+Inf\"} 7\nnonsense\n",
        );
        let series = |name: &str, labels: &[(&str, &str)], value| Series {
            name: name.into(),
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            value,
        };
        assert_eq!(
            read(text),
            [
                series("a", &[], 3.0),
                series("b", &[("source", "users"), ("replica", "")], 0.25),
                series("c_bucket", &[("of", "a,b=\"}\\\n"), ("le", "+Inf")], 7.0),
            ]
        );
    }
}
