//! What is delivered is stored once, whatever happens on the way.

use super::*;

#[tokio::test]
async fn a_batch_is_acked_when_it_is_stored_and_a_repeat_is_not_stored() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    let (mut client, welcome) = server.join(&host, 1, 1).await;
    assert_eq!(welcome.agent, agent);
    assert_eq!((welcome.queues[0].next, welcome.queues[0].digest.len()), (0, 0));
    assert!(server.heard.has(&format!("connected {agent} his-01 county his")));
    // Plain, again, overlapping, and the next: all below `next` is acked and none is doubled.
    for (numbers, next) in [(0..3, 3), (0..3, 3), (1..5, 5), (2..4, 5), (5..6, 6)] {
        client.send(Body::Batch(batch(1, numbers.clone()))).await;
        assert_eq!(client.acked().await, next, "{numbers:?}");
    }
    assert_eq!(server.double.numbers(&agent), [0, 1, 2, 3, 4, 5]);
    let (_, welcome) = server.join(&host, 1, 1).await;
    let last = records(5..6);
    let digest = record::digest(&last.origins[0], &last.records[0]);
    assert_eq!((welcome.queues[0].next, &welcome.queues[0].digest[..]), (6, &digest[..]));
}

#[tokio::test]
async fn what_is_kept_of_a_trimmed_batch_unpacks() {
    let server = server().await;
    let host = server.host().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    for numbers in [0..3, 1..5] {
        client.send(Body::Batch(batch(1, numbers))).await;
        client.acked().await;
    }
    let state = server.double.lock();
    let kept = &state.received[1];
    let again = wire::Batch {
        kind: kept.kind.into(),
        epoch: kept.epoch.to_vec().into(),
        first: kept.first,
        span: kept.span,
        block: kept.block.clone(),
        raw_len: kept.raw_len,
    };
    assert_eq!(block::unpack(&again).expect("unpacks"), records(3..5));
}

#[tokio::test]
async fn a_later_hello_is_a_sign_of_life() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    let (mut client, _) = server.join(&host, 1, 1).await;
    let later = Hello { clock: now() + 3 * HOUR + HOUR / 2, ..Default::default() };
    client.send(Body::Hello(later)).await;
    until("the clock's offset", || server.heard.has(&format!("clock {agent} 3"))).await;
}

#[tokio::test]
async fn a_stop_answers_what_was_taken() {
    let server = server().await;
    let host = server.host().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    server.double.hold();
    client.send(Body::Batch(batch(1, 0..2))).await;
    let held = || server.double.lock().held.as_ref().is_some_and(|held| held.len() == 1);
    until("the batch at the judge", held).await;
    server.stop.cancel();
    server.double.release();
    assert_eq!(client.acked().await, 2);
    assert!(client.receive().await.is_none());
    drop(client);
    timeout(PATIENCE, server.task).await.expect("in time").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_new_connection_waits_for_what_the_judge_still_has_of_the_old() {
    let server = server().await;
    let host = server.host().await;
    let (mut old, _) = server.join(&host, 1, 1).await;
    server.double.hold();
    old.send(Body::Batch(batch(1, 0..2))).await;
    let held = || server.double.lock().held.as_ref().is_some_and(|held| held.len() == 1);
    until("the batch at the judge", held).await;
    let (connector, _) = host.identity.connector();
    let mut new = server.open(&connector).await.expect("TLS");
    new.send(hello(2, &[(Kind::Log, 1)])).await;
    let early = timeout(Duration::from_millis(200), new.receive()).await;
    assert!(early.is_err(), "a Welcome that did not wait: {early:?}");
    server.double.release();
    match new.receive().await {
        Some(Body::Welcome(welcome)) => assert_eq!(welcome.queues[0].next, 2),
        other => panic!("no Welcome but {other:?}"),
    }
    assert_eq!(old.refused().await, Some(Reason::Replaced));
}

#[tokio::test]
async fn one_identity_on_two_machines_is_seen() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    let (mut first, _) = server.join(&host, 1, 1).await;
    let (mut second, _) = server.join(&host, 2, 1).await;
    assert_eq!(first.refused().await, Some(Reason::Replaced));
    assert!(!server.heard.has(&format!("clone {agent} 2")), "a restart is no clone");
    let (third, _) = server.join(&host, 1, 1).await;
    assert_eq!(second.refused().await, Some(Reason::Replaced));
    assert!(server.heard.has(&format!("clone {agent} 1")));
    drop(third);
}

#[tokio::test]
async fn a_new_epoch_of_a_known_queue_is_a_rollback() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    let (mut client, _) = server.join(&host, 1, 1).await;
    for (epoch, numbers) in [(1, 0..2), (2, 0..2), (2, 2..3)] {
        client.send(Body::Batch(batch(epoch, numbers))).await;
        client.acked().await;
    }
    let told = format!("rolled back {agent} log 1 2");
    let heard = server.heard.0.lock().expect("no panic with the lock").clone();
    assert_eq!(heard.iter().filter(|heard| **heard == told).count(), 1, "{heard:?}");
}

#[tokio::test]
async fn renewing_loses_nothing() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    assert!(host.identity.renewal(now()).is_none());
    let late = now() + 70 * DAY;
    let csr = host.identity.renewal(late).expect("it is time");
    assert_eq!(host.identity.renewal(late).as_ref(), Some(&csr), "the same until answered");
    let before = host.identity.not_after();
    let (mut client, _) = server.join(&host, 1, 1).await;
    client.send(Body::Batch(batch(1, 0..2))).await;
    client.send(Body::Renew(wire::Renew { csr: csr.clone() })).await;
    client.send(Body::Batch(batch(1, 2..4))).await;
    client.send(Body::Renew(wire::Renew { csr })).await;
    let mut chains = Vec::new();
    let mut next = 0;
    while next < 4 || chains.len() < 2 {
        match client.receive().await {
            Some(Body::Ack(ack)) => next = ack.queues[0].next,
            Some(Body::Renewed(renewed)) => chains.push(renewed.chain),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(chains[0], chains[1], "the same key gets the same certificate");
    let chain = chains.remove(0);
    let mut foreign = chain.clone();
    foreign.swap(0, 1);
    host.identity.renewed(foreign).expect_err("a certificate for another key");
    host.identity.renewed(chain).expect("is taken over");
    assert!(host.identity.not_after() >= before);
    // The old connection goes on under the old certificate until the new one is there.
    client.send(Body::Batch(batch(1, 4..5))).await;
    assert_eq!(client.acked().await, 5);
    let (mut renewed, welcome) = server.join(&host, 1, 1).await;
    assert_eq!(welcome.queues[0].next, 5);
    renewed.send(Body::Batch(batch(1, 5..6))).await;
    assert_eq!(renewed.acked().await, 6);
    assert_eq!(server.double.numbers(&agent), [0, 1, 2, 3, 4, 5]);
    let listed = registry::list(&server.double.fake);
    assert_eq!(listed[0].certificates.len(), 2);
    assert!(listed[0].certificates.iter().all(|certificate| certificate.revoked.is_none()));
}

#[tokio::test]
async fn a_host_enrols_again_under_its_id() {
    let server = server().await;
    let host = server.host().await;
    let agent = host.identity.agent();
    let (mut client, _) = server.join(&host, 1, 1).await;
    let token = server.token(Some(&agent)).await;
    let dir = tempfile::tempdir().expect("a folder");
    let outcome = server.enroll(&token, dir.path()).await.expect("enrols again");
    assert_eq!(outcome.agent, agent);
    assert_eq!(client.refused().await, Some(Reason::Revoked));
    let again =
        Host { identity: Identity::open(dir.path()).expect("an identity"), _dir: Some(dir) };
    let (_, welcome) = server.join(&again, 2, 2).await;
    assert_eq!(welcome.agent, agent);
}
