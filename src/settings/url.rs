//! The form of URLs that hold a password. Drivers name the part that they do not understand, and with a mistake in
//! the URL that part may be the password; so the mistakes that lead there are found before a driver sees them.

/// What is wrong with a URL, continuing its key; it shows nothing of it.
pub(super) fn fault(url: &str, schemes: &[&str]) -> Option<String> {
    let Some(rest) =
        schemes.iter().find_map(|scheme| url.strip_prefix(scheme)).filter(|rest| !rest.is_empty())
    else {
        return Some(format!("must be a URL that begins with {}", schemes.join(" or ")));
    };
    let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    if user.contains(['/', '?', '#', '[', ']', '@']) {
        return Some(
            "must have special characters percent-encoded, such as %2F for `/` and %40 for `@`".into(),
        );
    }
    let hosts = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let wrong = hosts.split(',').any(|host| !has_sound_port(host));
    wrong.then(|| "must have a number for a port, and `@` between the password and the host".into())
}

/// Whether a host has no port, or one that is a number; the colons of an IPv6 address stand in brackets.
fn has_sound_port(host: &str) -> bool {
    let after_address = host.rsplit(']').next().unwrap_or_default();
    after_address.split_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rest: &str) -> Option<String> {
        fault(&format!("amqp://{rest}"), &["amqp://"])
    }

    #[test]
    fn what_drivers_understand_is_let_through() {
        for rest in [
            "broker",
            "broker:5672/shop?heartbeat=5",
            "shop:p%40ss@broker/%2f",
            "shop:a:b@broker",
            "a:1,b:2,c/shop?replicaSet=rs0",
            "shop:pass@[::1]:5672/shop",
            "[::1]/shop",
            "%2Ftmp%2Fmongodb.sock",
        ] {
            assert_eq!(found(rest), None, "{rest}");
        }
    }

    #[test]
    fn what_would_make_a_driver_take_the_password_for_something_else_is_refused() {
        for rest in
            ["", "u:pass/x", "u@h:pass/x", "u:pa?ss@h/x", "u:pa/ss@h", "u:p@ss@h", "a:1,b:pass/x", "[::1]:x"]
        {
            let told = found(rest).unwrap();
            assert!(!told.contains("hush"), "{rest}: {told}");
        }
    }
}
