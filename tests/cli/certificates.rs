//! Broker and database are believed by their certificates, or told nothing.

use crate::impostor::{Impostor, certificate};
use crate::program::{CANARY, Ended, nearcopy};

/// Looks at a broker and a database that both are these, under a host's name. Whoever trusts their certificate has been
/// given it.
fn check(broker: &Impostor, database: &Impostor, host: &str, trusts: bool) -> Ended {
    let file = certificate();
    let trusted = if trusts { format!("&tlsCAFile={}", file.display()) } else { String::new() };
    let broker = format!("amqps://shop:{CANARY}@{host}:{}/shop", broker.address.port());
    let database = format!(
        "mongodb://shop:{CANARY}@{host}:{}/shop?tls=true&serverSelectionTimeoutMS=1000{trusted}",
        database.address.port()
    );
    let program = nearcopy(&["check", "--online", "good.yaml"])
        .env("NEARCOPY__RABBITMQ__URL", &broker)
        .env("NEARCOPY__MONGODB__URL", &database);
    if trusts { program.env("SSL_CERT_FILE", file.to_str().unwrap()).end() } else { program.end() }
}

/// S9: neither a certificate that is signed by nobody known, nor one for another host, is accepted, and whoever shows it
/// is told nothing, no password above all. The same certificate is good for whoever trusts it, under its own name.
#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    for (host, trusts, believed) in
        [("localhost", false, false), ("127.0.0.1", true, false), ("localhost", true, true)]
    {
        let [broker, database] = [(); 2].map(|()| Impostor::start());
        let ended = check(&broker, &database, host, trusts);
        assert!([4, 5].contains(&ended.code), "{ended}");
        for (who, impostor) in [("broker", &broker), ("database", &database)] {
            let heard = impostor.heard();
            assert_eq!(
                !heard.is_empty(),
                believed,
                "the {who} at {host} heard {} bytes: {ended}",
                heard.len()
            );
        }
        assert_eq!(!ended.to_string().contains("certificate"), believed, "{ended}");
    }
}
