//! What the swarm's messages are held to, whatever the bytes: no panic, and what was understood can be said again.

use prost::Message;
use swarm_wire::pb;

/// `which ‖ message`: what joins, sessions, assignments and reports are made of, both ways.
pub fn messages(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 14 {
        0 => check::<pb::IssueNodeCertificateRequest>(bytes),
        1 => check::<pb::IssueNodeCertificateResponse>(bytes),
        2 => check::<pb::NodeCertificateStatusResponse>(bytes),
        3 => check::<pb::GetRootCaCertificateResponse>(bytes),
        4 => check::<pb::SessionRequest>(bytes),
        5 => check::<pb::SessionMessage>(bytes),
        6 => check::<pb::AssignmentsRequest>(bytes),
        7 => check::<pb::AssignmentsMessage>(bytes),
        8 => check::<pb::UpdateTaskStatusRequest>(bytes),
        9 => check::<pb::HeartbeatRequest>(bytes),
        10 => check::<pb::PublishLogsMessage>(bytes),
        11 => check::<pb::SubscriptionMessage>(bytes),
        12 => check::<pb::AttachNetworkRequest>(bytes),
        _ => check::<pb::Snapshot>(bytes),
    }
}

fn check<M: Message + Default>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else {
        return;
    };
    let again = message.encode_to_vec();
    assert_eq!(again.len(), message.encoded_len());
    // The shortest number of one byte is said again in ten at most.
    assert!(again.len() <= 10 * bytes.len());
    // Bytes and not messages: a float may be no number.
    let same = M::decode(again.as_slice()).expect("our own bytes");
    assert_eq!(same.encode_to_vec(), again);
}
