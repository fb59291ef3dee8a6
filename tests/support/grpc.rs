//! A gRPC client that knows nothing but an address: what it calls it finds out by reflection.

use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// A client of one service.
pub(crate) struct Client {
    pub(crate) channel: Channel,
    pool: DescriptorPool,
    service: String,
}

impl Client {
    /// Connects, and asks what the service is.
    pub(crate) async fn of(base: &str, service: &str) -> Self {
        let channel = Endpoint::from_shared(base.to_owned()).unwrap().connect().await.unwrap();
        let mut found = Vec::new();
        let mut open = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
        while let Some(question) = open.pop() {
            for file in files(&channel, question).await {
                let proto = FileDescriptorProto::decode(file.as_slice()).unwrap();
                open.extend(proto.dependency.iter().cloned().map(MessageRequest::FileByFilename));
                found.push(proto);
            }
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(found).unwrap();
        Self { channel, pool, service: service.to_owned() }
    }

    /// A client of the same service at another address, which it asks nothing.
    pub(crate) async fn at(&self, base: &str) -> Self {
        let channel = Endpoint::from_shared(base.to_owned()).unwrap().connect().await.unwrap();
        Self { channel, pool: self.pool.clone(), service: self.service.clone() }
    }

    /// What such a call is asked with.
    pub(crate) fn request(&self, method: &str, request: Value) -> Request<DynamicMessage> {
        let input = self.method(method).0;
        Request::new(DynamicMessage::deserialize(input, request).unwrap())
    }

    /// Calls a method; request and answer as JSON.
    pub(crate) async fn call(&self, method: &str, request: Value) -> Result<Value, Status> {
        self.send(method, self.request(method, request)).await
    }

    /// Calls a method with what belongs to the request besides its message.
    pub(crate) async fn send(&self, method: &str, request: Request<DynamicMessage>) -> Result<Value, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/{}/{method}", self.service).parse().unwrap();
        let answer = grpc.unary(request, path, Answers(self.method(method).1)).await?;
        Ok(serde_json::to_value(answer.into_inner()).unwrap())
    }

    /// How a call is refused that says how long it waits. No timer of the client's runs beside it, which could be over
    /// first on a busy machine.
    pub(crate) async fn refused(&self, base: &str, method: &str, request: Value, within: &str) -> Status {
        let message = self.request(method, request).into_inner().encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0], length.as_slice(), message.as_slice()].concat();
        let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let request = http.post(format!("{base}/{}/{method}", self.service)).body(body);
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", within)];
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        Status::from_header_map(request.send().await.unwrap().headers()).unwrap()
    }

    fn method(&self, name: &str) -> (MessageDescriptor, MessageDescriptor) {
        let service = self.pool.get_service_by_name(&self.service).unwrap();
        let method = service.methods().find(|method| method.name() == name).unwrap();
        (method.input(), method.output())
    }
}

/// The files that reflection answers with.
async fn files(channel: &Channel, question: MessageRequest) -> Vec<Vec<u8>> {
    match reflect(channel, question).await {
        MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
        other => panic!("{other:?}"),
    }
}

/// Asks reflection one thing.
pub(crate) async fn reflect(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
}

/// Reads answers of one type.
#[derive(Clone)]
struct Answers(MessageDescriptor);

impl Codec for Answers {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Answers {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(into).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Answers {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let read = DynamicMessage::decode(self.0.clone(), from);
        read.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
