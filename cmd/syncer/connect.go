package main

import (
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/config"
	"meridian/internal/mysqldb"
)

// databaseConfig tells how to reach a region's database.
func databaseConfig(r *config.Region, logger *zap.Logger) (mysqldb.Config, error) {
	tls, err := r.MySQL.TLS.Client()
	if err != nil {
		return mysqldb.Config{}, fmt.Errorf("region %s: tls of its database: %w", r.Name, err)
	}
	return mysqldb.Config{Address: r.MySQL.Address, User: r.MySQL.User, Password: r.MySQL.Password.Read, TLS: tls, Logger: logger}, nil
}

// databaseReplicas tells how to reach a region's database's own replicas: as the database itself, at other addresses.
func databaseReplicas(r *config.Region, database mysqldb.Config) []mysqldb.Config {
	list := make([]mysqldb.Config, len(r.MySQL.ReadReplicas))
	for i, address := range r.MySQL.ReadReplicas {
		list[i] = database
		list[i].Address = address
	}
	return list
}

// busConfig tells how to reach the Kafka that has a region's topics.
func busConfig(c *config.Config, r *config.Region, logger *zap.Logger) (bus.Config, error) {
	of := c.BusOf(r)
	tls, err := of.TLS.Client()
	if err != nil {
		return bus.Config{}, fmt.Errorf("region %s: tls of its bus: %w", r.Name, err)
	}
	b := bus.Config{Brokers: of.Brokers, TLS: tls, Compression: bus.Compression(c.Bus.Compression),
		MaxRecordBytes: int(c.Bus.MaxRecordBytes), ClientID: "meridian-" + r.Name, Logger: logger}
	if of.SASL != nil {
		b.SASL = &bus.SASL{Mechanism: of.SASL.Mechanism, User: of.SASL.User, Password: of.SASL.Password.Read}
	}
	return b, nil
}

// topics are those that a region writes to.
func topics(c *config.Config, region string) []bus.Topic {
	topic := func(name string, partitions int) bus.Topic {
		return bus.Topic{Name: name, Partitions: partitions, ReplicationFactor: c.Bus.ReplicationFactor,
			Retention: c.Bus.Retention, MaxRecordBytes: int(c.Bus.MaxRecordBytes)}
	}
	return []bus.Topic{topic(c.ChangeTopic(region), c.Bus.Partitions), topic(c.DeadTopic(region), 1), topic(c.HeartbeatTopic(), 1)}
}
