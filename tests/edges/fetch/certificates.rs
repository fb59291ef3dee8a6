//! An owner is believed by its certificate, or asked nothing.

use nearcopy::replication::{Class, UrlTemplate};

use super::owner::{asking, id, outcomes, replica};
use crate::impostor::Impostor;

/// S9: whoever shows a certificate that nobody vouches for is not asked, so it is not told the token in the URL either.
#[tokio::test]
async fn an_owner_whose_certificate_nobody_vouches_for_is_not_asked() {
    let impostor = Impostor::start();
    let url = format!("https://localhost:{}/users/{{id}}?token=secret", impostor.address.port());
    let replica = replica(impostor.address, |spec| spec.url = UrlTemplate::parse(&url, "id").unwrap());
    let asked = outcomes(&asking(&replica), &replica, &[id("42")]).await.remove(0);
    let error = asked.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(error.class(), Class::Transient, "another pod of the owner may show a better one");
    assert!(impostor.heard().is_empty(), "{} bytes", impostor.heard().len());
}
