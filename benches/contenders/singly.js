// Node as one would write it at first: each message is written and acknowledged by itself, a hundred under way.
'use strict';

const amqp = require('amqplib');
const { MongoClient } = require('mongodb');
const { durable, updateOf } = require('./user');

const PREFETCH = 100;
const DUPLICATE_KEY = 11000;

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

// Two messages may insert the same user at once; then one of them goes round again.
async function write(users, { filter, update, upsert }) {
  for (;;) {
    try {
      return await users.updateOne(filter, update, { upsert });
    } catch (error) {
      if (error.code !== DUPLICATE_KEY) throw error;
    }
  }
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

main().catch(fail);
