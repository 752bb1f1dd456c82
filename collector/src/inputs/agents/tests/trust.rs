//! A change of roots, from both ends and without a restart of either.

use super::*;

#[tokio::test]
async fn two_roots_during_a_change() {
    let server = server().await;
    let host = server.host().await;
    let (connector, _) = host.identity.connector();
    let mut client = server.open(&connector).await.expect("TLS");
    client.send(hello(1, &[])).await;
    let welcome = client.receive().await;
    let Some(Body::Welcome(wire::Welcome { policy: Some(first), .. })) = welcome else {
        panic!("no policy in {welcome:?}");
    };
    host.identity.policy(&first).expect("nothing new");

    // The next root is made elsewhere; at first the collector only trusts it too.
    let next = tempfile::tempdir().expect("a folder");
    drop(make_pki(next.path()));
    let (data, next) = (server.dir.path(), next.path().join("pki"));
    let import = || {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (issuing, root) = (next.join("issuing.pem"), next.join("roots.pem"));
        setup::import(data, &names, &issuing, &issuing, &root, now())
    };
    let error = import().expect_err("nobody trusts it yet").to_string();
    assert!(error.contains("run `pki trust`"), "{error}");
    setup::trust(data, &next.join("roots.pem")).expect("trusts");
    let both = told(&mut client).await;
    assert_eq!(both.roots.len(), 2);
    host.identity.policy(&both).expect("another root");

    // Then it changes over: the agent reconnects, with its certificate of the old root.
    let old = server.pki.root_digest();
    import().expect("imports");
    until("the change", || server.pki.root_digest() != old).await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    client.send(Body::Batch(batch(1, 0..2))).await;
    assert_eq!(client.acked().await, 2);

    // A renewal brings one of the new root, and the old root can go, at both ends.
    let late = now() + 70 * DAY;
    let csr = host.identity.renewal(late).expect("it is time");
    client.send(Body::Renew(wire::Renew { csr })).await;
    match client.receive().await {
        Some(Body::Renewed(renewed)) => host.identity.renewed(renewed.chain).expect("renews"),
        other => panic!("{other:?}"),
    }
    setup::distrust(data, &identity::hex(&server.pki.root_digest())).expect_err("it is in use");
    setup::distrust(data, &identity::hex(&old)).expect("distrusts");
    until("one root", || server.pki.policy().borrow().roots.len() == 1).await;
    let (_, welcome) = server.join(&host, 1, 1).await;
    let policy = welcome.policy.expect("a policy");
    assert_eq!(policy.roots.len(), 1);
    host.identity.policy(&policy).expect("the old root goes");
    let (_, welcome) = server.join(&host, 1, 1).await;
    assert_eq!(welcome.queues[0].next, 2);
}

/// The next policy the collector sends by itself.
async fn told(client: &mut Client) -> wire::Policy {
    let read = frame::read(&mut client.stream, &client.budget, limits::MAX_FRAME);
    match timeout(PATIENCE, read).await.expect("in time").expect("reads") {
        Some((Body::Policy(policy), _)) => policy,
        other => panic!("no policy but {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_takes_no_policy_that_would_lock_it_out() {
    let server = server().await;
    let host = server.host().await;
    let (_, welcome) = server.join(&host, 1, 1).await;
    let policy = welcome.policy.expect("a policy");
    let check = |policy: wire::Policy, expected: &str| {
        let error = host.identity.policy(&policy).expect_err(expected);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    };
    let other = tempfile::tempdir().expect("a folder");
    let foreign = make_pki(other.path()).policy().borrow().roots.clone();
    check(wire::Policy { roots: Vec::new(), ..policy.clone() }, "without roots");
    check(wire::Policy { roots: foreign, ..policy.clone() }, "leads to none of them");
    check(wire::Policy { roots: vec!["garbage".into()], ..policy.clone() }, "is no CA");
    check(wire::Policy { history_key: vec![1; 32].into(), ..policy.clone() }, "another key");
    host.identity.policy(&policy).expect("what was there is still good");
}

#[tokio::test]
async fn an_agent_demands_the_name_it_dialled() {
    let server = server().await;
    let host = server.host().await;
    let (connector, _) = host.identity.connector();
    let name = ServerName::try_from("elsewhere.example").expect("a name");
    let error = connector.connect(name, server.tcp().await).await.expect_err("another name");
    assert!(error.to_string().contains("elsewhere.example"), "{error}");
}

#[tokio::test]
async fn an_agents_certificate_serves_nobody() {
    let server = server().await;
    let host = server.host().await;
    let dir = host._dir.as_ref().expect("a folder").path();
    // Whoever holds an agent's key could try to be the collector of the others with it.
    let stolen = std::fs::read(dir.join("identity.pem")).expect("an identity");
    std::fs::write(server.dir.path().join("pki/server.pem"), stolen).expect("writes");
    server.pki.reload().expect_err("it is no server's");
    assert!(server.join(&host, 1, 1).await.1.policy.is_some());
}
