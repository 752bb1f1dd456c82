use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, SanType};

use super::*;

const DAY: i64 = 86_400 * 1_000_000_000;

/// A CA that issues as a collector does.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).expect("a root").der().clone();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn issue(&self, csr: &[u8], agent: &str) -> Vec<Bytes> {
        let csr = rustls_pki_types::CertificateSigningRequestDer::from(csr.to_vec());
        let request =
            rcgen::CertificateSigningRequestParams::from_der(&csr).expect("a good request");
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let uri = format!("hengwei:agent:{agent}").try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&request.public_key, &self.issuer).expect("issues");
        vec![leaf.der().to_vec().into()]
    }
}

fn enrolled(authority: &Authority) -> (tempfile::TempDir, Identity) {
    let dir = tempfile::tempdir().expect("a folder");
    let roots = [authority.der.clone()];
    write_trust(dir.path(), &roots, &[5; 32]).expect("writes");
    put_identity(authority, dir.path(), "his-01");
    let identity = Identity::open(dir.path()).expect("opens");
    (dir, identity)
}

fn put_identity(authority: &Authority, dir: &Path, agent: &str) {
    let (key, csr) = request().expect("a request");
    let chain = authority.issue(&csr, agent);
    let pair = Pair::checked(&key, &chain, std::slice::from_ref(&authority.der)).expect("fits");
    pair.write(dir).expect("writes");
}

/// When two thirds of a certificate's life are over.
fn due() -> i64 {
    let begin = 1_577_836_800 * 1_000_000_000;
    begin + (4_102_444_800 * 1_000_000_000 - begin) / 3 * 2
}

#[test]
fn the_files_are_private() {
    let (dir, identity) = enrolled(&Authority::new());
    assert_eq!(identity.agent(), "his-01");
    for file in [IDENTITY, ROOTS, HISTORY_KEY] {
        let mode = std::fs::metadata(dir.path().join(file)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn renewal_is_asked_for_at_two_thirds_and_survives_what_does_not_fit() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (dir, identity) = enrolled(&authority);
    assert_eq!(identity.renewal(due() - DAY), None);
    identity.renewed(vec![authority.der.to_vec().into()]).expect_err("nobody asked");
    let csr = identity.renewal(due() + DAY).expect("it is time");
    let before = std::fs::read(dir.path().join(IDENTITY)).expect("is there");
    let check = |chain: Vec<Bytes>, expected: &str| {
        let error = format!("{:#}", identity.renewed(chain).expect_err(expected));
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read(dir.path().join(IDENTITY)).expect("is there"), before);
        assert_eq!(identity.renewal(due() + DAY).as_ref(), Some(&csr));
    };
    let (_, other) = request().expect("a request");
    check(authority.issue(&other, "his-01"), "not for the key");
    check(authority.issue(&csr, "another"), "is for `another`");
    check(foreign.issue(&csr, "his-01"), "leads to no root");
    check(Vec::new(), "unreasonable size");
    check(vec!["garbage".into()], "not a certificate");
    identity.renewed(authority.issue(&csr, "his-01")).expect("fits");
    assert_ne!(std::fs::read(dir.path().join(IDENTITY)).expect("is there"), before);
    // Should that one be due as well, because its CA ends soon, it is used for a while first.
    assert_eq!(identity.renewal(due() + DAY), None);
    let next = identity.renewal(due() + DAY + RENEWAL_PAUSE_NANOS).expect("it is time again");
    assert_ne!(next, csr, "the next one is a new key");
}

#[test]
fn what_changes_on_disk_is_taken_over_if_it_is_good() {
    let authority = Authority::new();
    let (dir, identity) = enrolled(&authority);
    put_identity(&authority, dir.path(), "his-02");
    assert_eq!(identity.connector().1, "his-02");
    std::fs::write(dir.path().join(IDENTITY), "damaged").expect("writes");
    assert_eq!(identity.connector().1, "his-02", "what was there goes on");
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let authority = Authority::new();
    let check = |file: &str, text: Option<&str>, expected: &str| {
        let (dir, _) = enrolled(&authority);
        let path = dir.path().join(file);
        match text {
            Some(text) => std::fs::write(&path, text).expect("writes"),
            None => std::fs::remove_file(&path).expect("removes"),
        }
        let error = format!("{:#}", Identity::open(dir.path()).expect_err(expected));
        assert!(error.contains(file) && error.contains(expected), "{error}");
    };
    check(IDENTITY, None, "run `hengwei-agent enroll`");
    check(IDENTITY, Some("x"), "holds no certificate; enrol again");
    check(ROOTS, None, "run `hengwei-agent enroll`");
    check(ROOTS, Some(""), "holds no certificate");
    check(HISTORY_KEY, Some("abcd"), "holds no Ed25519 key");
}

#[test]
fn no_policy_is_taken_before_a_collector_was_verified() {
    let authority = Authority::new();
    let (dir, identity) = enrolled(&authority);
    let (same, other) = (authority.der.to_vec(), Authority::new().der.to_vec());
    let policy = |roots: &[&Vec<u8>]| wire::Policy {
        roots: roots.iter().map(|der| Bytes::from((*der).clone())).collect(),
        history_key: vec![5; 32].into(),
    };
    let before = std::fs::read(dir.path().join(ROOTS)).expect("is there");
    identity.policy(&policy(&[&same])).expect("nothing new");
    identity.policy(&policy(&[&same, &other])).expect_err("nobody vouches for it");
    assert_eq!(std::fs::read(dir.path().join(ROOTS)).expect("is there"), before);
}
