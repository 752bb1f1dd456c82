use super::*;
use crate::store::fake::Fake;
use crate::time::HOUR;

const ALICE: [u8; 32] = [1; 32];
const MALLORY: [u8; 32] = [2; 32];

/// A registry of a test.
#[derive(Default)]
struct Registry {
    store: Fake,
    issued: u8,
}

impl Registry {
    fn commit<T>(&self, decided: Result<(Decision, T), Error>) -> Result<T, String> {
        let (decision, answer) = decided.map_err(|error| error.to_string())?;
        self.store.commit(decision);
        Ok(answer)
    }

    fn token(&mut self, now: i64, secret: u8, agent: Option<&str>) -> Result<String, String> {
        let secret = Secret { secret: [secret; 32], root: [0; 32] };
        let place = |name: &str| agent.is_none().then(|| name.to_owned());
        let wanted = NewToken {
            site: place("county"),
            system: place("his"),
            agent: agent.map(str::to_owned),
            ttl_nanos: HOUR,
            actor: "local:ops".into(),
        };
        let decided = create_token(&self.store, now, &secret, wanted);
        self.commit(decided).map(|_| secret.stored())
    }

    fn enroll(
        &mut self,
        now: i64,
        stored: &str,
        key: [u8; 32],
        host: &str,
    ) -> Result<Granted, String> {
        self.issued += 1;
        let issued = self.issued;
        let host = HostInfo { hostname: host.into(), ..Default::default() };
        let decided = enroll(&self.store, now, stored, &key, &host, |agent| {
            Ok(certificate(agent, issued, key, now))
        });
        self.commit(decided)
    }

    fn renew(&mut self, now: i64, serial: &str, key: [u8; 32]) -> Result<Granted, String> {
        self.issued += 1;
        let issued = self.issued;
        let decided =
            renew(&self.store, now, serial, &key, |agent| Ok(certificate(agent, issued, key, now)));
        self.commit(decided)
    }

    /// The serials of an agent that would be let in at `now`.
    fn good(&self, agent: &str) -> Vec<String> {
        let agent = super::agent(&self.store, agent).expect("an agent");
        let serials = agent.certificates.iter();
        let facts = serials.filter_map(|serial| {
            let known = super::certificate(&self.store, serial)?;
            let number = u8::from_str_radix(serial, 16).expect("a serial of these tests");
            Some(certificate(&known.agent, number, [0; 32], 0).facts)
        });
        facts.filter(|facts| admit(&self.store, facts).is_ok()).map(|facts| facts.serial).collect()
    }
}

fn certificate(agent: &str, number: u8, key: [u8; 32], now: i64) -> Issued {
    let facts = Facts {
        agent: Some(agent.to_owned()),
        serial: format!("{number:02x}"),
        fingerprint: format!("print {number}"),
        key,
        not_before: now,
        not_after: now + 90 * DAY,
        subject: agent.to_owned(),
        authority: false,
    };
    Issued { facts, chain: vec![vec![number], vec![0]] }
}

#[test]
fn a_token_buys_one_certificate_for_one_key() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    let first = registry.enroll(1, &token, ALICE, "his-01").expect("enrols");
    assert_eq!(first, Granted { agent: "his-01".into(), chain: vec![vec![1], vec![0]] });
    assert_eq!(registry.enroll(2, &token, ALICE, "other").expect("a retry"), first);
    // A retry is good even after the token's time: the answer may have been lost.
    assert_eq!(registry.enroll(2 * HOUR, &token, ALICE, "his-01").expect("a retry"), first);
    let error = registry.enroll(3, &token, MALLORY, "his-01").expect_err("another key");
    assert_eq!(error, "the token was used before");
    let error = registry.enroll(91 * DAY, &token, ALICE, "his-01").expect_err("long over");
    assert_eq!(error, "the token was used before");
    assert_eq!(registry.store.actions(), ["token.created", "agent.enrolled"]);
    let agent = agent(&registry.store, "his-01").expect("an agent");
    assert_eq!((agent.site.as_str(), agent.system.as_str()), ("county", "his"));
}

#[test]
fn unknown_and_late_tokens_are_refused() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    assert_eq!(registry.enroll(1, "00", ALICE, "a").expect_err("unknown"), "the token is unknown");
    let error = registry.enroll(HOUR, &token, ALICE, "a").expect_err("late");
    assert_eq!(error, "the token is past its time");
    assert!(list(&registry.store).is_empty());
}

#[test]
fn a_failed_signature_burns_nothing() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    let host = HostInfo::default();
    let failed = enroll(&registry.store, 1, &token, &ALICE, &host, |_| Err("no CA".to_owned()));
    assert!(matches!(failed, Err(Error::Busy(_))));
    registry.enroll(2, &token, ALICE, "a").expect("the token is still good");
}

#[test]
fn ids_come_from_host_names() {
    let mut registry = Registry::default();
    let mut check = |host: &str, expected: &str| {
        let secret = registry.issued + 1;
        let token = registry.token(0, secret, None).expect("a token");
        let granted = registry.enroll(1, &token, ALICE, host).expect("enrols");
        assert_eq!(granted.agent, expected, "{host}");
        assert!(identity::is_id(&granted.agent));
    };
    check("HIS-01.hospital.example", "his-01.hospital.example");
    check("his-01.hospital.example", "his-01.hospital.example-2");
    check("衡水", "host");
    check("", "host-2");
    check("../../etc", "etc");
    check("collector", "collector-2");
    check(&"x".repeat(300), &"x".repeat(52));
}

#[test]
fn enrolling_again_keeps_the_id_and_ends_what_was() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    registry.enroll(1, &token, ALICE, "a").expect("enrols");
    let error = registry.token(2, 2, Some("b")).expect_err("no such agent");
    assert!(error.starts_with("no agent `b`"), "{error}");
    let again = registry.token(2, 2, Some("a")).expect("a token");
    let granted = registry.enroll(3, &again, MALLORY, "renamed").expect("enrols again");
    assert_eq!(granted.agent, "a");
    assert_eq!(registry.good("a"), ["02"]);
    let error = registry.enroll(4, &token, ALICE, "a").expect_err("its certificate was revoked");
    assert_eq!(error, "the token was used before");
    let agent = agent(&registry.store, "a").expect("an agent");
    assert_eq!(
        (agent.site.as_str(), agent.host.as_str(), agent.enrolled),
        ("county", "renamed", 3)
    );
}

#[test]
fn a_renewal_leaves_two_certificates_and_no_more() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    registry.enroll(0, &token, ALICE, "a").expect("enrols");
    assert_eq!(
        registry.renew(1, "01", ALICE).expect_err("its own key"),
        "a renewal needs a new key"
    );
    let second = registry.renew(60 * DAY, "01", [3; 32]).expect("renews");
    assert_eq!(registry.renew(60 * DAY, "01", [3; 32]).expect("a retry"), second);
    assert_eq!(registry.good("a"), ["01", "03"]);
    // A crash lost the key: the first certificate asks again.
    registry.renew(61 * DAY, "01", [4; 32]).expect("renews");
    assert_eq!(registry.good("a"), ["01", "05"]);
    // Once the first has ended it is forgotten.
    registry.renew(121 * DAY, "05", [5; 32]).expect("renews");
    assert_eq!(registry.good("a"), ["05", "06"]);
    assert_eq!(
        list(&registry.store)[0].certificates.len(),
        3,
        "the revoked one is kept until its end"
    );
    assert!(
        registry.renew(152 * DAY, "05", [6; 32]).is_err(),
        "an ended certificate renews nothing"
    );
}

#[test]
fn renewing_all_the_time_grows_nothing() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    registry.enroll(0, &token, ALICE, "a").expect("enrols");
    for n in 2..60 {
        registry.renew(DAY, "01", [n; 32]).expect("renews");
        let agent = super::agent(&registry.store, "a").expect("an agent");
        assert!(agent.certificates.len() <= MAX_REMEMBERED + 2, "{}", agent.certificates.len());
        assert_eq!(agent.certificates[0], "01", "the one it was asked for with");
    }
    let mut kept = 0;
    registry.store.scan(tree::CERTIFICATES, b"", &mut |_, _| {
        kept += 1;
        true
    });
    assert_eq!(kept, MAX_REMEMBERED + 2);
    assert_eq!(registry.good("a").len(), 2);
}

#[test]
fn a_revoked_agent_is_out_and_says_why() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    registry.enroll(0, &token, ALICE, "a").expect("enrols");
    registry.renew(DAY, "01", [3; 32]).expect("renews");
    for (id, reason) in [("b", "stolen"), ("a", " "), ("a", &"x".repeat(2000))] {
        assert!(revoke(&registry.store, 1, id, "local:ops", reason).is_err(), "{id} {reason}");
    }
    let decided = revoke(&registry.store, 2 * DAY, "a", "local:ops", "stolen");
    assert_eq!(registry.commit(decided), Ok(2));
    let facts = certificate("a", 1, ALICE, 0).facts;
    let refused = admit(&registry.store, &facts).expect_err("is out");
    assert_eq!(refused, (Reason::Revoked, "by local:ops: stolen".to_owned()));
    assert!(registry.renew(3 * DAY, "01", [4; 32]).is_err());
    assert_eq!(registry.store.actions().last().map(String::as_str), Some("agent.revoked"));
}

#[test]
fn a_certificate_is_known_as_a_whole_or_not_at_all() {
    let mut registry = Registry::default();
    let token = registry.token(0, 1, None).expect("a token");
    registry.enroll(0, &token, ALICE, "a").expect("enrols");
    let known = certificate("a", 1, ALICE, 0).facts;
    assert_eq!(admit(&registry.store, &known).expect("is let in").id, "a");
    let check = |facts: Facts| {
        let refused = admit(&registry.store, &facts).expect_err("is another certificate");
        assert_eq!(refused.0, Reason::UnknownAgent, "{facts:?}");
    };
    check(Facts { serial: "99".into(), ..known.clone() });
    check(Facts { fingerprint: "another".into(), ..known.clone() });
    check(Facts { agent: Some("b".into()), ..known.clone() });
    check(Facts { agent: None, ..known });
}

#[test]
fn a_token_needs_a_place_and_a_time() {
    let check = |site: Option<&str>, system: Option<&str>, ttl_nanos: i64, expected: &str| {
        let secret = Secret { secret: [1; 32], root: [0; 32] };
        let wanted = NewToken {
            site: site.map(str::to_owned),
            system: system.map(str::to_owned),
            agent: None,
            ttl_nanos,
            actor: "local:ops".into(),
        };
        let error = create_token(&Fake::default(), 0, &secret, wanted).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(None, Some("his"), HOUR, "give --site");
    check(Some("county"), None, HOUR, "give --system");
    check(Some("County"), Some("his"), HOUR, "--site `County`: use lower-case");
    check(Some("county"), Some("his"), 0, "--ttl must be");
    check(Some("county"), Some("his"), 31 * DAY, "--ttl must be");
}

#[test]
fn old_tokens_are_forgotten() {
    let mut registry = Registry::default();
    registry.token(0, 1, None).expect("a token");
    registry.token(7 * DAY, 2, None).expect("a token");
    registry.token(9 * DAY, 3, None).expect("a token");
    assert_eq!(registry.store.keys(tree::TOKENS).len(), 2);
}

#[test]
fn what_an_agent_says_of_itself_is_cleaned() {
    assert_eq!(clean("a\0b\x1b[31mc\n"), "ab[31mc");
    assert_eq!(clean(&"衡".repeat(200)).len(), 255);
}
