//! Admin calls of librdkafka that have no safe wrapper: what state a consumer group is in, and who its members are.
//!
//! Owns the unsafe code of this target. Never changes a cluster.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, KafkaError, RDKafkaErrorCode};
use serde::{Deserialize, Serialize};

/// A consumer group as its coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// `empty`, `stable`, `dead`, `preparing rebalance`, `completing rebalance`. A group that never was is `dead`.
    pub state: String,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub client_id: String,
    #[serde(default)]
    pub host: String,
}

impl GroupState {
    /// Some brokers forget an emptied group at once and say `dead`.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && matches!(self.state.as_str(), "empty" | "dead")
    }
}

/// Asks the group's coordinator: both protocols of groups, the classic one and the one of KIP-848.
///
/// # Errors
/// The broker's error; `UnsupportedFeature` where it cannot describe groups.
pub fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<GroupState, KafkaError> {
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let failed = KafkaError::GroupListFetch;
    let name = CString::new(group).map_err(|_| failed(RDKafkaErrorCode::InvalidArgument))?;
    let rk = client.native_ptr();
    // SAFETY: `rk` lives as long as `client`, which is borrowed throughout. Queue, options and event are ours: each is
    // released by its guard, on every path, once. Whatever is read of the event is copied before the guard goes.
    unsafe {
        let queue = Owned(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy);
        let options = Owned(
            sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS),
            sys::rd_kafka_AdminOptions_destroy,
        );
        let mut why = [0 as c_char; 256];
        let set = sys::rd_kafka_AdminOptions_set_request_timeout(options.0, limit, why.as_mut_ptr(), why.len());
        if set.is_error() {
            return Err(failed(set.into()));
        }
        let mut names = [name.as_ptr()];
        sys::rd_kafka_DescribeConsumerGroups(rk, names.as_mut_ptr(), names.len(), options.0, queue.0);
        // The request ends by itself after `limit`; the second only lets that answer come through.
        let event = Owned(sys::rd_kafka_queue_poll(queue.0, limit.saturating_add(1000)), sys::rd_kafka_event_destroy);
        if event.0.is_null() {
            return Err(failed(RDKafkaErrorCode::OperationTimedOut));
        }
        let error = sys::rd_kafka_event_error(event.0);
        if error.is_error() {
            return Err(failed(error.into()));
        }
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        if result.is_null() {
            return Err(failed(RDKafkaErrorCode::Fail));
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if groups.is_null() || count == 0 {
            return Err(failed(RDKafkaErrorCode::UnsupportedFeature));
        }
        read(*groups).map_err(failed)
    }
}

/// # Safety
/// `described` must point to a description inside a live event.
unsafe fn read(described: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Result<GroupState, RDKafkaErrorCode> {
    // SAFETY: by this function's contract; member pointers are asked for below the count only.
    unsafe {
        let error = sys::rd_kafka_ConsumerGroupDescription_error(described);
        if !error.is_null() {
            let code = sys::rd_kafka_error_code(error);
            // Newer brokers answer so for a group that they do not know.
            if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND {
                return Ok(GroupState { state: "dead".to_owned(), members: Vec::new() });
            }
            if code.is_error() {
                return Err(code.into());
            }
        }
        use sys::rd_kafka_consumer_group_state_t as State;
        let state = match sys::rd_kafka_ConsumerGroupDescription_state(described) {
            State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => "empty",
            State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => "stable",
            State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => "dead",
            State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => "preparing rebalance",
            State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => "completing rebalance",
            _ => "unknown",
        };
        let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(described))
            .map(|i| {
                let member = sys::rd_kafka_ConsumerGroupDescription_member(described, i);
                Member {
                    client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                    host: text(sys::rd_kafka_MemberDescription_host(member)),
                }
            })
            .collect();
        Ok(GroupState { state: state.to_owned(), members })
    }
}

/// # Safety
/// `text` must be null or point to a string that ends in a zero byte.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and terminated by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A thing of the library's, and what releases it.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !ptr::eq(self.0, ptr::null()) {
            // SAFETY: made by the library's constructor of this type, released here and nowhere else.
            unsafe { (self.1)(self.0) }
        }
    }
}
