//! Manifests: whatever a text is, it is a declaration, or is answered with what is wrong with it and where.

use nearcopy::manifest;

/// The input is the text; the one variable is the number 42.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lookup = |name: &str| (name == "NUMBER").then(|| "42".to_owned());
    let Err(diagnostics) = manifest::parse("nearcopy.yaml", text, &lookup) else { return };
    assert!(diagnostics.len() > 0, "refused for no reason");
    for diagnostic in diagnostics.iter() {
        assert!(!diagnostic.message().is_empty());
        let Some(place) = diagnostics.location(diagnostic) else { continue };
        assert!(place.line <= text.lines().count() + 1, "line {} of another text", place.line);
    }
    assert!(!diagnostics.render(false).contains('\u{1b}'), "what others wrote reaches the terminal");
    diagnostics.render(true);
}
