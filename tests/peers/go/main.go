// franz-go, as tests/peers/checks/clients.py calls it: see PROTOCOL there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const baseTime = 1700000000000

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	check(err)
	return value
}

func open(bootstrap string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	check(err)
	return client
}

func codec(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[name]
}

func produce(ctx context.Context, bootstrap, topic, file string, size int, compression string) any {
	client := open(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec(compression)))
	defer client.Close()
	content, err := os.ReadFile(file)
	check(err)
	count := 0
	for at := 0; at < len(content); at += size {
		n := count
		record := &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint("k", n)), Value: content[at:min(len(content), at+size)],
			Timestamp: time.UnixMilli(int64(baseTime + n)), Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(fmt.Sprint(n))}}}
		client.Produce(ctx, record, func(done *kgo.Record, err error) {
			check(err)
			if done.Offset != int64(n) {
				check(fmt.Errorf("record %d got offset %d", n, done.Offset))
			}
		})
		count++
	}
	check(client.Flush(ctx))
	return map[string]any{"count": count}
}

func consume(ctx context.Context, bootstrap, topic, file string, count int) any {
	client := open(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	out, err := os.Create(file)
	check(err)
	seen := 0
	for seen < count {
		fetches := client.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if record.Offset != int64(seen) || record.Timestamp.UnixMilli() != int64(baseTime+seen) || string(record.Key) != fmt.Sprint("k", seen) ||
				len(record.Headers) != 1 || record.Headers[0].Key != "n" || string(record.Headers[0].Value) != fmt.Sprint(seen) {
				check(fmt.Errorf("record %d is %+v", seen, record))
			}
			_, err := out.Write(record.Value)
			check(err)
			seen++
		})
	}
	check(out.Close())
	return map[string]any{"count": seen}
}

func retention(ctx context.Context, admin *kadm.Client, topic string) int {
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	check(err)
	one, err := described.On(topic, nil)
	check(err)
	for _, config := range one.Configs {
		if config.Key == "retention.ms" {
			return number(config.MaybeValue())
		}
	}
	return -1
}

func admin(ctx context.Context, bootstrap, topic string) any {
	client := open(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	admin := kadm.NewClient(client)
	out := map[string]any{}
	wanted := "1234567"
	_, err := admin.CreateTopic(ctx, 3, -1, map[string]*string{"retention.ms": &wanted}, topic)
	check(err)
	_, err = admin.CreateTopic(ctx, 3, 1, nil, topic)
	var code *kerr.Error
	if errors.As(err, &code) {
		out["again"] = code.Message
	}
	brokers, err := admin.ListBrokers(ctx)
	check(err)
	out["brokers"] = len(brokers)
	topics, err := admin.ListTopics(ctx)
	check(err)
	out["listed"] = topics.Has(topic)
	out["retention"] = retention(ctx, admin, topic)
	altered := "7654321"
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &altered}}, topic)
	check(err)
	for _, answer := range answers {
		check(answer.Err)
	}
	altering := retention(ctx, admin, topic)
	for altering == out["retention"] { // a broker learns it a moment after the controller
		altering = retention(ctx, admin, topic)
	}
	out["altered"] = altering
	grown, err := admin.CreatePartitions(ctx, 2, topic)
	check(err)
	check(grown.Error())
	for len(topics[topic].Partitions) != 5 {
		topics, err = admin.ListTopics(ctx, topic)
		check(err)
	}
	out["partitions"] = len(topics[topic].Partitions)
	for i := 0; i < 100; i++ {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint("v", i))}, func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(ctx))
	offset := func(listed kadm.ListedOffsets, err error) int64 {
		check(err)
		one, ok := listed.Lookup(topic, 0)
		if !ok {
			check(errors.New("no offset listed"))
		}
		check(one.Err)
		return one.Offset
	}
	out["end"] = offset(admin.ListEndOffsets(ctx, topic))
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 40}}})
	check(err)
	low, _ := deleted.Lookup(topic, 0)
	check(low.Err)
	out["low"] = low.LowWatermark
	out["start"] = offset(admin.ListStartOffsets(ctx, topic))
	gone, err := admin.DeleteTopics(ctx, topic)
	check(err)
	check(gone[topic].Err)
	for topics.Has(topic) {
		topics, err = admin.ListTopics(ctx)
		check(err)
	}
	out["deleted"] = true
	return out
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	words := os.Args[1:]
	var out any
	switch words[0] {
	case "produce":
		out = produce(ctx, words[1], words[2], words[3], number(words[4]), words[5])
	case "consume":
		out = consume(ctx, words[1], words[2], words[3], number(words[4]))
	case "admin":
		out = admin(ctx, words[1], words[2])
	}
	check(json.NewEncoder(os.Stdout).Encode(out))
}
