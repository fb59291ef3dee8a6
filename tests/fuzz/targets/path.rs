//! Paths: into events, and to references in documents.

use nearcopy::event::FieldPath;
use nearcopy::replication::RefPath;

/// The input is the path.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match FieldPath::parse(text) {
        Ok(path) => {
            assert_eq!(
                FieldPath::parse(&path.to_string()),
                Ok(path.clone()),
                "written and read it is another"
            );
            assert!(path.names().iter().all(|name| !name.is_empty()));
        }
        Err(error) => assert!(text.is_char_boundary(error.at()), "a place inside a letter"),
    }
    let Ok(path) = RefPath::parse(text) else { return };
    let dotted = path.dotted();
    assert!(dotted.split('.').all(|name| !name.is_empty() && !name.starts_with('$')), "{dotted}");
    assert_eq!(text.replace("[].", "."), dotted);
    path.find(&bson::doc! { "a": [{ "b": { "c": 1 } }, 2], "b": 3 });
}
