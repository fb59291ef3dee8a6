// Node as one would write it at first: each message is written and acknowledged by itself, a hundred under way.
'use strict';

const amqp = require('amqplib');
const { MongoClient } = require('mongodb');
const { durable, fail, insisting, updateOf } = require('./user');

const PREFETCH = 100;

async function main() {
  const { RABBITMQ_URL, QUEUE, MONGODB_URL, DATABASE, COLLECTION } = process.env;
  const client = await MongoClient.connect(MONGODB_URL, durable);
  const users = client.db(DATABASE).collection(COLLECTION);
  const connection = await amqp.connect(RABBITMQ_URL);
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  await channel.consume(QUEUE, message => {
    write(users, updateOf(message.content)).then(() => channel.ack(message), fail);
  });
}

function write(users, { filter, update, upsert }) {
  return insisting(() => users.updateOne(filter, update, { upsert }));
}

main().catch(fail);
