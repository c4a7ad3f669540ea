//! `Health`: managers ask each other.

use swarm_wire::pb;
use swarm_wire::pb::health_check_response::ServingStatus;
use tonic::{Request, Response, Status};

pub(super) struct Health;

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        match request.into_inner().service.as_str() {
            "" | "ControlAPI" | "Raft" => Ok(Response::new(pb::HealthCheckResponse {
                status: ServingStatus::Serving.into(),
            })),
            _ => Err(Status::not_found("unknown service")),
        }
    }
}
