"""Configuration of the tests' Slurm: its nodes, partitions and database."""

GPU_NODES = ("gpu1", "gpu2", "gpu3", "gpu4", "gpu5")
NODES = (*GPU_NODES, "cpu1")

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
"""What poses as GPUs: Slurm counts and hands out any character devices."""

SLURM = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=50000,bf_interval=2
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
ReturnToService=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=600
KillWait=60
CompleteWait=0
InactiveLimit=0
UnkillableStepTimeout=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={database}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStoragePass={folder}/munge.socket
{nodes}
PartitionName=gpu Nodes=gpu[1-2] Default=YES MaxTime=1-0 State=UP
PartitionName=spot Nodes=gpu3 PriorityTier=1 MaxTime=1-0 State=UP
PartitionName=urgent Nodes=gpu3 PriorityTier=9 PreemptMode=OFF MaxTime=1-0 State=UP
PartitionName=frail Nodes=gpu[4-5] MaxTime=1-0 State=UP
PartitionName=cpu Nodes=cpu1 MaxTime=1-0 State=UP
"""

NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=64 Boards=1"
    " SocketsPerBoard=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=64000{gres} State=UNKNOWN"
)

DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={database}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=tests
StorageLoc=slurm_acct_db
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""

USER = """\
create database slurm_acct_db;
create user slurm@127.0.0.1 identified by 'tests'; grant all on slurm_acct_db.* to slurm@127.0.0.1;
create user slurm@localhost identified by 'tests'; grant all on slurm_acct_db.* to slurm@localhost;
"""
