"""A project of its own for a test: what its feature_store.yaml says."""

CONFIGURATION = """
project: shops
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=larder"}
offline_store: {type: larder.offline.DeltaOfflineStore}
online_store: {type: larder.online.RedisOnlineStore}
batch_engine: {type: larder.compute.SparkFeatureEngine, compact_from_files: 2}
entity_key_serialization_version: 3
"""
