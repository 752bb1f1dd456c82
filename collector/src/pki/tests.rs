use std::os::unix::fs::PermissionsExt as _;

use super::*;

const PASSPHRASE: &[u8] = b"a passphrase for tests";
/// 2025.
const NOW: i64 = 1_750_000_000 * 1_000_000_000;

fn names() -> Vec<String> {
    vec!["collector.example".to_owned(), "192.0.2.7".to_owned(), "2001:db8::7".to_owned()]
}

fn init(dir: &Path) -> Pki {
    setup::init(dir, &names(), &dir.join("root.sealed"), PASSPHRASE, NOW).expect("makes a PKI");
    Pki::open(dir, Settings::default()).expect("opens")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn request(pki: &Pki) -> Request {
    let key = KeyPair::generate().expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).expect("a request");
    pki.request(csr.der()).expect("a good request")
}

fn server(dir: &Path) -> setup::Listed {
    setup::list(dir).expect("lists").pop().expect("a server")
}

#[test]
fn what_init_makes_is_private_and_complete() {
    let dir = folder();
    let pki = init(dir.path());
    let listed = setup::list(dir.path()).expect("lists");
    let roles: Vec<_> = listed.iter().map(|listed| listed.role).collect();
    assert_eq!(roles, ["root", "issuing", "server"]);
    assert_eq!(listed[2].names, names());
    assert_eq!(listed[0].facts.fingerprint, identity::hex(&pki.root_digest()));
    for file in ["roots.pem", "issuing.pem", "server.pem", "history.pem", "../root.sealed"] {
        let path = dir.path().join("pki").join(file);
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let entries = std::fs::read_dir(dir.path().join("pki")).expect("a folder").count();
    assert_eq!(entries, 4, "nothing is left lying about");
    let error = setup::init(dir.path(), &names(), &dir.path().join("x"), PASSPHRASE, NOW)
        .expect_err("not twice")
        .to_string();
    assert!(error.contains("issuing.pem exists already"), "{error}");
}

#[test]
fn an_agents_certificate_says_what_we_say() {
    let dir = folder();
    let pki = init(dir.path());
    let issued = pki.issue(&request(&pki), "his-01", NOW).expect("issues");
    assert_eq!(issued.facts.agent.as_deref(), Some("his-01"));
    assert_eq!(issued.facts.not_after, NOW + 90 * DAY);
    assert_eq!(issued.chain.len(), 2, "leaf and issuing CA, the root stays at home");
    let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).expect("a certificate");
    let usage = leaf.extended_key_usage().expect("reads").expect("is there").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let other = pki.issue(&request(&pki), "his-01", NOW).expect("issues");
    assert_ne!(issued.facts.serial, other.facts.serial);
    // Nothing outlives the CA that signed it.
    let late = NOW + 5 * 365 * DAY - DAY;
    let issued = pki.issue(&request(&pki), "his-01", late).expect("issues");
    assert_eq!(issued.facts.not_after, setup::list(dir.path()).expect("lists")[1].facts.not_after);
    assert!(pki.issue(&request(&pki), "his-01", late + 2 * DAY).is_err());
}

#[test]
fn requests_are_checked() {
    let dir = folder();
    let pki = init(dir.path());
    let check = |csr: &[u8], expected: &str| {
        let error = pki.request(csr).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let key = KeyPair::generate().expect("a key");
    let good = CertificateParams::default().serialize_request(&key).expect("a request");
    let good = good.der().to_vec();
    let mut forged = good.clone();
    *forged.last_mut().expect("not empty") ^= 1;
    check(&forged, "not signed by its own key");
    check(&[&good[..], b"x"].concat(), "bytes after its end");
    check(b"garbage", "malformed");
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let other = CertificateParams::default().serialize_request(&other).expect("a request");
    check(other.der(), "its key is not EC P-256");
}

#[test]
fn the_servers_certificate_renews_itself() {
    let dir = folder();
    let pki = init(dir.path());
    assert!(!pki.maintain(NOW + 59 * DAY).expect("nothing to do"));
    let before = server(dir.path());
    assert!(pki.maintain(NOW + 61 * DAY).expect("renews"));
    let after = server(dir.path());
    assert_eq!(after.names, before.names);
    assert_eq!(after.facts.not_after, NOW + 151 * DAY);
    assert_ne!(after.facts.key, before.facts.key);
    assert!(!pki.maintain(NOW + 61 * DAY).expect("nothing more to do"));
    // A collector that was off for too long comes back by itself.
    assert!(pki.maintain(NOW + 400 * DAY).expect("renews"));
}

#[test]
fn a_lost_collector_is_issued_again_from_the_root() {
    let (lost, fresh) = (folder(), folder());
    let digest = init(lost.path()).root_digest();
    let sealed = lost.path().join("root.sealed");
    let reissue =
        |passphrase: &[u8]| setup::reissue(fresh.path(), &names(), &sealed, passphrase, NOW);
    let error = format!("{:#}", reissue(b"a wrong passphrase").expect_err("wrong"));
    assert!(error.contains("wrong passphrase"), "{error}");
    reissue(PASSPHRASE).expect("issues again");
    let pki = Pki::open(fresh.path(), Settings::default()).expect("opens");
    assert_eq!(pki.root_digest(), digest);
}

#[test]
fn a_foreign_ca_is_taken_over_only_whole() {
    let (other, dir) = (folder(), folder());
    init(other.path());
    let from = |file: &str| other.path().join("pki").join(file);
    let import = |chain: &str, key: &str| {
        let (chain, key) = (from(chain), from(key));
        setup::import(dir.path(), &names(), &chain, &key, &from("roots.pem"), NOW)
    };
    let check = |chain: &str, key: &str, expected: &str| {
        let error = format!("{:#}", import(chain, key).expect_err(expected));
        assert!(error.contains(expected), "{error}");
    };
    check("issuing.pem", "server.pem", "its key is not the one in its certificate");
    check("server.pem", "server.pem", "is no CA");
    check("issuing.pem", "roots.pem", "holds no usable private key");
    check("missing.pem", "issuing.pem", "could not read");
    assert!(Pki::open(dir.path(), Settings::default()).is_err());
    import("issuing.pem", "issuing.pem").expect("is taken over");
    Pki::open(dir.path(), Settings::default()).expect("opens");
}

#[test]
fn a_damaged_file_leaves_what_was() {
    let dir = folder();
    let pki = init(dir.path());
    let digest = pki.root_digest();
    for file in ["roots.pem", "issuing.pem", "server.pem", "history.pem"] {
        let path = dir.path().join("pki").join(file);
        let good = std::fs::read(&path).expect("is there");
        std::fs::write(&path, "damaged").expect("writes");
        let error = format!("{:#}", pki.reload().expect_err("is damaged"));
        assert!(error.contains(file), "{error}");
        assert_eq!(pki.root_digest(), digest);
        std::fs::write(&path, good).expect("writes");
    }
    pki.reload().expect("is whole again");
}

#[test]
fn short_passphrases_and_bad_names_make_nothing() {
    let check = |names: &[&str], passphrase: &[u8], expected: &str| {
        let dir = folder();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let error = setup::init(dir.path(), &names, &dir.path().join("r"), passphrase, NOW)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    };
    check(&["collector.example"], b"short", "the passphrase is shorter than");
    check(&[], PASSPHRASE, "--name HOST");
    check(&["not a name"], PASSPHRASE, "neither a host name nor an address");
}

#[test]
fn history_is_signed_by_its_own_key() {
    let dir = folder();
    let pki = init(dir.path());
    let signature = pki.sign_history(b"heads");
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ED25519,
        pki.history_key(),
    );
    key.verify(b"heads", &signature).expect("verifies");
    assert!(key.verify(b"other heads", &signature).is_err());
    assert_eq!(pki.policy().borrow().history_key.to_vec(), pki.history_key());
}
