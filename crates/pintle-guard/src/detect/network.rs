//! IP addresses, and URLs that carry a user and a password.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    context::{self, Words},
    detect::{Detector, Hit, secrets},
    probe::Probe,
};

const ADDRESS_WORDS: Words = Words::new(&[
    "ip",
    "ips",
    "ipv4",
    "ipv6",
    "address",
    "addresses",
    "host",
    "hosts",
    "server",
    "ping",
    "ssh",
    "dns",
    "gateway",
    "subnet",
    "listen",
    "connect",
    "connected",
    "firewall",
    "router",
    "nameserver",
    "resolver",
    "client",
    "proxy",
    "peer",
    "endpoint",
]);
const VERSION_WORDS: Words = Words::new(&[
    "version",
    "versions",
    "v",
    "ver",
    "release",
    "releases",
    "build",
    "firmware",
    "section",
    "chapter",
    "clause",
    "rev",
    "revision",
    "patch",
    "upgrade",
    "downgrade",
    "assembly",
    "driver",
]);

/// An IPv4 address. Versions have the same form, so a word for one rules it out, and four small numbers
/// need a word for an address, a port or a network length.
pub(super) fn ipv4(probe: &Probe<'_>) -> Option<Hit> {
    let before = probe.back(1);
    if before == b'.' || (before == b'-' && !probe.starts_clean()) {
        return None;
    }
    let mut octets = [0_u8; 4];
    let mut offset = 0;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            if probe.byte(offset) != b'.' {
                return None;
            }
            offset += 1;
        }
        let len = probe.run(offset, 4, |byte| byte.is_ascii_digit());
        let text = probe.bytes(offset, len);
        if len > 1 && text.first() == Some(&b'0') {
            return None;
        }
        *octet = std::str::from_utf8(text).ok()?.parse().ok()?;
        offset += len;
    }
    if !probe.ends_clean(offset) {
        return None;
    }
    let address = Ipv4Addr::from(octets);
    if address.is_loopback() || address.is_unspecified() || address.is_broadcast() {
        return None;
    }
    let located = matches!(probe.byte(offset), b':' | b'/') && probe.byte(offset + 1).is_ascii_digit();
    let named = located || context::supports(probe, Detector::IpAddress, &ADDRESS_WORDS);
    if !located && context::stands_within(probe, 16, &VERSION_WORDS) {
        return None;
    }
    let small = octets.iter().all(|octet| *octet < 16);
    (named || !small).then(|| Hit::new(Detector::IpAddress, if named { 95 } else { 80 }, offset))
}

/// The longest text form of an IPv6 address.
const IPV6_LEN_MAX: usize = 45;

/// An IPv6 address. Paths in code (`a::b`) and times are none; neither are loopback and the like.
pub(super) fn ipv6(probe: &Probe<'_>) -> Option<Hit> {
    if !probe.starts_clean() || matches!(probe.back(1), b':' | b'.') {
        return None;
    }
    let class = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut len = probe.run(0, IPV6_LEN_MAX + 1, class);
    let run = probe.bytes(0, len);
    if probe.opens_token(len) {
        return None;
    }
    if run.iter().filter(|byte| **byte == b':').count() < 2 {
        return None;
    }
    // A full stop or colon that ends the sentence is not the address's.
    while len > 2 && matches!(run.get(len - 1), Some(b'.' | b':')) && !run.get(..len)?.ends_with(b"::") {
        len -= 1;
    }
    let text = std::str::from_utf8(run.get(..len)?).ok()?;
    let address: Ipv6Addr = text.parse().ok()?;
    if address.is_loopback() || address.is_unspecified() || probe.is_word(len) {
        return None;
    }
    let groups = text.split(':').filter(|group| !group.is_empty());
    let (count, pairs) =
        groups.clone().fold((0, 0), |(all, pairs), g| (all + 1, pairs + usize::from(g.len() == 2)));
    let full_first = groups.clone().next().is_some_and(|group| group.len() == 4);
    let like_address = text.bytes().any(|byte| byte.is_ascii_digit()) && (count >= 3 || full_first);
    (like_address && pairs < count).then(|| Hit::new(Detector::IpAddress, 95, len))
}

/// The user and password in `scheme://user:password@host`. The hit covers what stands between `//` and `@`,
/// so that a mask leaves the address readable.
pub(super) fn url_credentials(probe: &Probe<'_>) -> Option<Hit> {
    // JSON may escape the slashes.
    let start = if probe.literal(0, "://") {
        3
    } else if probe.literal(0, ":\\/\\/") {
        5
    } else {
        return None;
    };
    if !probe.back(1).is_ascii_alphanumeric() {
        return None;
    }
    let ends = |byte: u8| {
        byte <= b' '
            || byte == 0x7F
            || matches!(byte, b'/' | b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>' | b'`')
            || matches!(byte, b'[' | b']' | b'{' | b'}')
    };
    let len = probe.run(start, 112, |byte| !ends(byte));
    if probe.byte(start + len) != b'@' || !is_host_start(probe.byte(start + len + 1)) {
        return None;
    }
    let info = probe.bytes(start, len);
    let colon = info.iter().position(|byte| *byte == b':')?;
    let password = info.get(colon + 1..)?;
    if password.is_empty() || is_stand_in(password) {
        return None;
    }
    Some(Hit { offset: start, ..Hit::new(Detector::UrlCredentials, 90, len) })
}

/// A host may be a name, an address in brackets, or what stands in for it.
const fn is_host_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'[' | b'$' | b'{' | b'<' | b'%')
}

/// What documentation writes for a password.
fn is_stand_in(password: &[u8]) -> bool {
    const WORDS: &[&str] = &["password", "passwd", "pass", "pwd", "secret", "token", "changeme", "pw"];
    let is_word = WORDS.iter().any(|word| password.eq_ignore_ascii_case(word.as_bytes()));
    let same = password.len() > 1 && password.iter().all(|byte| Some(byte) == password.first());
    is_word
        || same
        || password.starts_with(b"$")
        || password.starts_with(b"%(")
        || secrets::says_it_is_fake(password)
}
