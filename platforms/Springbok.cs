// SPDX-License-Identifier: Apache-2.0
//
// What Springbok has beside a standard RISC-V core, for Renode 1.15.3, 1.16.1 and master of August 2026: the core's
// custom instructions, CSRs and counting between the firmware's marks, the control block, and the outer end of the
// UART's line.
//
// Compiled by Renode itself (`include @Springbok.cs`), by Mono's compiler or by Roslyn: C# 7 at most.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Reflection.Emit;
using System.Text;
using System.Threading;
using Antmicro.Migrant;
using Antmicro.Renode.Backends.Terminals;
using Antmicro.Renode.Core;
using Antmicro.Renode.Exceptions;
using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Peripherals.I2C;
using Antmicro.Renode.Peripherals.Timers;
using Antmicro.Renode.Peripherals.UART;
using Antmicro.Renode.Time;
using Antmicro.Renode.Utilities;

namespace Antmicro.Renode.Peripherals.CPU
{
    // The core: halted after a reset, until the control block releases it.
    public class SpringbokCore : RiscV32
    {
        public SpringbokCore(IMachine machine, IRiscVTimeProvider timeProvider, string cpuType = "rv32imfv_zicsr_zifencei")
            : base(machine, cpuType, timeProvider)
        {
            RegisterCSR((ushort)0x7C0, () => ExecutedBefore, value => { }, "instructions");
            RegisterCSR((ushort)0x7C1, () => ExecutedBefore, value => { }, "cycles");
            InstallCustomInstruction(Custom3(0), SimPrint, "simprint");
            InstallCustomInstruction(Custom3(1), XCount, "xcount");
            InstallCustomInstruction(Custom3(2), opcode => HostRequested?.Invoke(), "hostreq");
            InstallCustomInstruction(Custom3(3), opcode => Finish((uint)X[Rs1(opcode)]), "finish");
            InstallCustomInstruction(Custom3(4), ReadMark, "mark");
            IsHalted = true;
        }

        public override void Reset()
        {
            base.Reset();
            IsHalted = true;
            ExitCode = null;
            prints.Clear();
            marks = new Marks();
        }

        public void Release(uint startAddress)
        {
            PC = startAddress;
        }

        // What `simprint` printed, a line each.
        public string Prints
        {
            get { return string.Join("\n", prints); }
        }

        // Operand of the `finish` that the core executed last.
        public uint? ExitCode { get; private set; }

        public event Action HostRequested;
        public event Action Finished;

        // Counting. Enable it before the first instruction runs: translated blocks are not made anew for it.

        public bool CountInstructions
        {
            get
            {
                return counting;
            }

            set
            {
                if(value == counting)
                {
                    return;
                }
                counting = value;
                firstBlockAfter = ExecutedInstructions;
                SetHookAtBlockEnd(value ? (Action<ulong, uint>)BlockEnded : null);
                if(value && SupportsInstructionSet(InstructionSet.V))
                {
                    EnableHooks();
                    AddPostOpcodeExecutionHook(VectorConfigurationMask, VectorConfigurationMask, VectorConfigured);
                }
            }
        }

        // Renode's own opcode counters, read at the marks too: a second count of the same inferences.
        public bool CountOpcodes
        {
            get
            {
                return counters != null;
            }

            set
            {
                counters = value ? new Dictionary<string, ulong>() : null;
            }
        }

        // Writes what was counted since the last call, and starts from zero. Lines, in the order of events:
        //   word PC WORD...                  instructions in memory, given before they are first counted
        //   place ORDINAL VL VTYPE           what follows was executed in this dispatch (or "outside") with these
        //   block PC LENGTH EXECUTIONS
        //   opcode NAME EXECUTIONS           of the inference that ends, by Renode's own counters
        //   mark EVENT VALUE BLOCKS COUNTER  the number of instructions executed before the mark, by the lengths of the
        //                                    blocks executed and by the core's own counter
        public void SaveCounts(string path)
        {
            File.WriteAllText(path, marks.Text.ToString());
            marks.Text.Clear();
        }

        // Registers by name, a line each, for tools.
        public string DescribeRegisters()
        {
            var text = new StringBuilder();
            text.AppendFormat("pc {0}\n", PC.RawValue);
            for(var i = 0; i < 32; i++)
            {
                text.AppendFormat("x{0} {1}\n", i, X[i].RawValue);
            }
            text.AppendFormat("mstatus {0}\nmtvec {1}\nmepc {2}\nmcause {3}\nmtval {4}\nmie {5}\nmip {6}\n", MSTATUS.RawValue,
                MTVEC.RawValue, MEPC.RawValue, MCAUSE.RawValue, MTVAL.RawValue, MIE.RawValue, MIP.RawValue);
            if(SupportsInstructionSet(InstructionSet.V))
            {
                text.AppendFormat("vl {0}\nvtype {1}\nvlenb {2}\n", VL.RawValue, VTYPE.RawValue, VLENB.RawValue);
            }
            return text.ToString();
        }

        public string ReadBytesAsHex(uint address, int count)
        {
            return string.Concat(Bus.ReadBytes((ulong)address, count, true).Select(value => value.ToString("x2")));
        }

        public void WriteHexAsBytes(uint address, string content)
        {
            Bus.WriteBytes(Hex.ToBytes(content), (ulong)address, true);
        }

        // Ends what `machine EnableProfiler` began.
        public void StopProfilingAccesses()
        {
            SetHookAtMemoryAccess(null);
            ClearTranslationCache();
            machine.Profiler?.Dispose();
            machine.GetType().GetProperty("Profiler").SetValue(machine, null); // Renode has no command for it
        }

        private static string Custom3(int funct3)
        {
            return new string('-', 17) + Convert.ToString(funct3, 2).PadLeft(3, '0') + "-----1111011";
        }

        private static int Rd(ulong opcode)
        {
            return (int)(opcode >> 7 & 31);
        }

        private static int Rs1(ulong opcode)
        {
            return (int)(opcode >> 15 & 31);
        }

        private static int Rs2(ulong opcode)
        {
            return (int)(opcode >> 20 & 31);
        }

        // Instructions executed before the one that asks, which ends its block, as custom instructions and accesses to
        // CSRs do. Renode counts by blocks: before 1.16 when a block begins, since then when it has ended. So what is
        // read here leaves out, since 1.16, what the block executed before this instruction, as minstret does too.
        private ulong ExecutedBefore
        {
            get { return countsAhead ? ExecutedInstructions - 1 : ExecutedInstructions; }
        }

        // A guess by what else 1.16 changed, until the first block that is counted tells.
        private bool countsAhead = typeof(BaseRiscV).GetMethod("AddPostOpcodeExecutionHook").GetParameters()[2].ParameterType == typeof(Action<ulong>);

        // Its argument is a number, and since August 2026 a truth value.
        private void EnableHooks()
        {
            var enable = GetType().GetMethod("EnablePostOpcodeExecutionHooks");
            enable.Invoke(this, new[] { Convert.ChangeType(1, enable.GetParameters()[0].ParameterType) });
        }

        private void SimPrint(ulong opcode)
        {
            var level = Rd(opcode);
            var number = (uint)X[Rs2(opcode)];
            var name = level < PrintLevels.Length ? PrintLevels[level] : "level " + level;
            if(prints.Count < PrintLimit)
            {
                prints.Add(string.Format("{0}: {1} {2} (0x{2:x})", name, TextAt((uint)X[Rs1(opcode)]), number));
                this.Log(LogLevel.Info, "simprint {0}", prints.Last());
            }
        }

        private string TextAt(uint address)
        {
            var bytes = new List<byte>();
            while(bytes.Count < TextLimit)
            {
                var value = Bus.ReadByte(address++);
                if(value == 0)
                {
                    break;
                }
                bytes.Add(value);
            }
            return Encoding.UTF8.GetString(bytes.ToArray());
        }

        private void XCount(ulong opcode)
        {
            var which = Rs1(opcode);
            if(which > 1)
            {
                this.Log(LogLevel.Warning, "custom-3: xcount of unknown counter {0}", which);
            }
            if(Rd(opcode) != 0)
            {
                X[Rd(opcode)] = (uint)ExecutedBefore;
            }
        }

        private void Finish(uint code)
        {
            ExitCode = code;
            Finished?.Invoke();
        }

        // Marks and blocks. A mark ends its block; what it means is done when the block's end is reported.

        private void ReadMark(ulong opcode)
        {
            if(counting)
            {
                marks.Pending = true;
                marks.PendingEvent = (uint)X[Rs1(opcode)];
                marks.PendingValue = (uint)X[Rs2(opcode)];
            }
        }

        // Renode's hook gives the opcode too since 1.16.
        private void VectorConfigured(ulong pc, ulong opcode)
        {
            VectorConfigured(pc);
        }

        private void VectorConfigured(ulong pc)
        {
            marks.Configurations.Add(new Configuration((uint)pc, (uint)VL.RawValue, (uint)VTYPE.RawValue));
        }

        private void BlockEnded(ulong pc, uint executed)
        {
            if(firstBlockAfter.HasValue && executed > 0)
            {
                countsAhead = ExecutedInstructions >= firstBlockAfter + executed;
                firstBlockAfter = null;
            }
            executedInBlocks += executed;
            var here = (uint)pc;
            var left = marks.Pending && executed > 0 ? executed - 1 : executed;
            if(marks.Configurations.Count > 0)
            {
                foreach(var configuration in marks.Configurations)
                {
                    var until = (configuration.Address - here) / 4 + 1;
                    if(until <= left)
                    {
                        marks.Count(here, until);
                        here += 4 * until;
                        left -= until;
                    }
                    marks.Configure(configuration);
                }
                marks.Configurations.Clear();
            }
            marks.Count(here, left);
            if(marks.Pending)
            {
                marks.Pending = false;
                HandleMark(marks.PendingEvent, marks.PendingValue, countsAhead ? ExecutedInstructions : ExecutedInstructions + executed);
            }
        }

        private void HandleMark(uint what, uint value, ulong counter)
        {
            switch(what)
            {
            case InferenceBegin:
                marks.Open();
                ReadOpcodeCounters();
                break;
            case InferenceEnd:
                marks.Close(address => Bus.ReadDoubleWord(address));
                WriteOpcodeCounters();
                break;
            case DispatchBegin:
                marks.Enter((int)value);
                break;
            case DispatchEnd:
                marks.Enter(Marks.Outside);
                break;
            case LoadBegin:
            case LoadEnd:
                marks.Forget();
                break;
            }
            marks.Text.AppendFormat(CultureInfo.InvariantCulture, "mark {0} {1} {2} {3}\n", what, value, executedInBlocks - 1, counter - 1);
        }

        private void ReadOpcodeCounters()
        {
            if(counters == null)
            {
                return;
            }
            var table = GetAllOpcodesCounters();
            for(var row = 1; row < table.GetLength(0); row++)
            {
                counters[table[row, 0]] = ulong.Parse(table[row, 1], CultureInfo.InvariantCulture);
            }
        }

        private void WriteOpcodeCounters()
        {
            if(counters == null)
            {
                return;
            }
            var before = new Dictionary<string, ulong>(counters);
            ReadOpcodeCounters();
            foreach(var counter in counters)
            {
                var count = (uint)(counter.Value - (before.ContainsKey(counter.Key) ? before[counter.Key] : 0));
                if(count != 0) // counters have 32 bits and wrap
                {
                    marks.Text.AppendFormat(CultureInfo.InvariantCulture, "opcode {0} {1}\n", counter.Key, count);
                }
            }
        }

        private bool counting;
        private ulong? firstBlockAfter;
        private ulong executedInBlocks;
        private Marks marks = new Marks();
        private Dictionary<string, ulong> counters;
        private readonly List<string> prints = new List<string>();

        private static readonly string[] PrintLevels = { "error", "warning", "info", "debug", "noisy" };

        private const int PrintLimit = 1000;
        private const int TextLimit = 1024;
        private const ulong VectorConfigurationMask = 0x7057;

        // As in the firmware's platform.h.
        private const uint InferenceBegin = 1;
        private const uint InferenceEnd = 2;
        private const uint DispatchBegin = 3;
        private const uint DispatchEnd = 4;
        private const uint LoadBegin = 5;
        private const uint LoadEnd = 6;

        private struct Configuration
        {
            public Configuration(uint address, uint vl, uint vtype)
            {
                Address = address;
                Vl = vl;
                Vtype = vtype;
            }

            public readonly uint Address;
            public readonly uint Vl;
            public readonly uint Vtype;
        }

        // Executions of blocks, by the dispatch and the vector configuration that they were executed in.
        private class Marks
        {
            public void Open()
            {
                places.Clear();
                isOpen = true;
                Enter(Outside);
            }

            public void Enter(int dispatch)
            {
                this.dispatch = dispatch;
                Select();
            }

            public void Configure(Configuration configuration)
            {
                vl = configuration.Vl;
                vtype = configuration.Vtype;
                Select();
            }

            public void Forget()
            {
                isOpen = false;
                current = null;
                known.Clear();
            }

            public void Count(uint address, uint length)
            {
                if(current == null || length == 0)
                {
                    return;
                }
                var block = (ulong)length << 32 | address;
                ulong executions;
                current.TryGetValue(block, out executions);
                current[block] = executions + 1;
            }

            public void Close(Func<ulong, uint> wordAt)
            {
                if(!isOpen)
                {
                    return;
                }
                isOpen = false;
                current = null;
                foreach(var place in places)
                {
                    WriteNewWords(place.Value.Keys, wordAt);
                    Text.AppendFormat(CultureInfo.InvariantCulture, "place {0} {1} {2}\n",
                        place.Key.Item1 == Outside ? "outside" : place.Key.Item1.ToString(CultureInfo.InvariantCulture),
                        place.Key.Item2, place.Key.Item3);
                    foreach(var block in place.Value)
                    {
                        Text.AppendFormat(CultureInfo.InvariantCulture, "block {0} {1} {2}\n", (uint)block.Key, block.Key >> 32,
                            block.Value);
                    }
                }
            }

            public bool Pending { get; set; }

            public uint PendingEvent { get; set; }

            public uint PendingValue { get; set; }

            public readonly List<Configuration> Configurations = new List<Configuration>();
            public readonly StringBuilder Text = new StringBuilder();

            public const int Outside = -1;

            private void Select()
            {
                if(!isOpen)
                {
                    return;
                }
                var place = Tuple.Create(dispatch, vl, vtype);
                if(!places.TryGetValue(place, out current))
                {
                    current = places[place] = new Dictionary<ulong, ulong>();
                }
            }

            private void WriteNewWords(IEnumerable<ulong> blocks, Func<ulong, uint> wordAt)
            {
                foreach(var block in blocks)
                {
                    if(known.Add(block))
                    {
                        Text.AppendFormat(CultureInfo.InvariantCulture, "word {0}", (uint)block);
                        for(var i = 0u; i < block >> 32; i++)
                        {
                            Text.AppendFormat(CultureInfo.InvariantCulture, " {0}", wordAt((uint)block + 4 * i));
                        }
                        Text.Append('\n');
                    }
                }
            }

            private int dispatch;
            private uint vl;
            private uint vtype;
            private bool isOpen;
            private Dictionary<ulong, ulong> current;
            private readonly HashSet<ulong> known = new HashSet<ulong>();
            private readonly Dictionary<Tuple<int, uint, uint>, Dictionary<ulong, ulong>> places =
                new Dictionary<Tuple<int, uint, uint>, Dictionary<ulong, ulong>>();
        }
    }
}

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    // Through it a host processor starts and stops the core. Control comes up as 3: the core stands still.
    public class SpringbokControlBlock : IDoubleWordPeripheral, IKnownSize
    {
        public SpringbokControlBlock(IMachine machine, SpringbokCore core, uint instructionMemory = 0x32000000)
        {
            this.core = core;
            this.instructionMemory = instructionMemory;
            core.HostRequested += () => Stop(HostRequest, 0);
            core.Finished += () => Stop(FinishRequest, Freeze | HoldInReset);
            IRQ = new GPIO();
            Logger.AddBackend(SpringbokWarnings.Backend, "springbok-warnings", true);
            SpringbokWarnings.Clear();
            Reset();
        }

        // What the chip's devices and its bus complained about, a line each.
        public string Warnings
        {
            get { return SpringbokWarnings.Lines; }
        }

        public void Reset()
        {
            control = Freeze | HoldInReset;
            interruptState = interruptEnable = bankControl = initStart = initEnd = 0;
            UpdateInterrupt();
        }

        public uint ReadDoubleWord(long offset)
        {
            switch((Registers)offset)
            {
            case Registers.InterruptState:
                return interruptState;
            case Registers.InterruptEnable:
                return interruptEnable;
            case Registers.InterruptTest:
            case Registers.ErrorStatus:
                return 0;
            case Registers.Control:
                return control;
            case Registers.MemoryBankControl:
                return bankControl;
            case Registers.InitStart:
                return initStart;
            case Registers.InitEnd:
                return initEnd;
            case Registers.InitStatus:
                return InitDone; // memory is clear at power-on
            default:
                this.Log(LogLevel.Warning, "read of unknown register 0x{0:x}", offset);
                return 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            switch((Registers)offset)
            {
            case Registers.InterruptState:
                interruptState &= ~value;
                UpdateInterrupt();
                break;
            case Registers.InterruptEnable:
                interruptEnable = value & AllInterrupts;
                UpdateInterrupt();
                break;
            case Registers.InterruptTest:
                interruptState |= value & AllInterrupts;
                UpdateInterrupt();
                break;
            case Registers.Control:
                WriteControl(value);
                break;
            case Registers.MemoryBankControl:
                bankControl = value;
                break;
            case Registers.ErrorStatus:
                break; // nothing sets an error
            case Registers.InitStart:
                initStart = value;
                break;
            case Registers.InitEnd:
                initEnd = value;
                break;
            default:
                this.Log(LogLevel.Warning, "write of 0x{0:x} to unknown or read-only register 0x{1:x}", value, offset);
                break;
            }
        }

        // Lets a core go on that stands still because of its own `hostreq`.
        public void Resume()
        {
            hostRequested = false;
            UpdateHalted();
        }

        public bool IsHostRequested
        {
            get { return hostRequested; }
        }

        public GPIO IRQ { get; private set; }

        public long Size
        {
            get { return 0x400; }
        }

        private void WriteControl(uint value)
        {
            var leavesReset = (control & HoldInReset) != 0 && (value & HoldInReset) == 0;
            control = value;
            if(leavesReset)
            {
                hostRequested = false;
                core.Release(instructionMemory + (value & ~(Freeze | HoldInReset)));
            }
            UpdateHalted();
        }

        private void Stop(uint interrupt, uint controlBits)
        {
            control |= controlBits;
            hostRequested = controlBits == 0;
            interruptState |= interrupt;
            UpdateInterrupt();
            UpdateHalted();
        }

        private void UpdateHalted()
        {
            core.IsHalted = hostRequested || (control & (Freeze | HoldInReset)) != 0;
        }

        private void UpdateInterrupt()
        {
            IRQ.Set((interruptState & interruptEnable) != 0);
        }

        private uint control;
        private uint interruptState;
        private uint interruptEnable;
        private uint bankControl;
        private uint initStart;
        private uint initEnd;
        private bool hostRequested;
        private readonly SpringbokCore core;
        private readonly uint instructionMemory;

        private const uint Freeze = 1;
        private const uint HoldInReset = 2;
        private const uint HostRequest = 1;
        private const uint FinishRequest = 2;
        private const uint AllInterrupts = 0xF;
        private const uint InitDone = 2;

        private enum Registers : long
        {
            InterruptState = 0x00,
            InterruptEnable = 0x04,
            InterruptTest = 0x08,
            Control = 0x0C,
            MemoryBankControl = 0x10,
            ErrorStatus = 0x14,
            InitStart = 0x18,
            InitEnd = 0x1C,
            InitStatus = 0x20,
        }
    }
}

namespace Antmicro.Renode.Peripherals.UART
{
    // Renode's PL011. Where the core only polls it for a byte that does not come, virtual time goes on without the
    // polling being executed: a second of waiting takes no second of this machine's work.
    public class SpringbokUart : PL011, IDoubleWordPeripheral
    {
        public SpringbokUart(IMachine machine, SpringbokCore core, uint fifoSize = 16) : base(machine, fifoSize)
        {
            this.core = core;
        }

        public new uint ReadDoubleWord(long offset)
        {
            var value = base.ReadDoubleWord(offset);
            if(offset != FlagRegister || (value & ReceiveFifoEmpty) == 0)
            {
                polls = 0;
            }
            else if(++polls > PollsBeforeSkipping && core.OnPossessedThread)
            {
                core.SkipTime(TimeInterval.FromMicroseconds(SkippedMicroseconds));
            }
            return value;
        }

        public new void WriteDoubleWord(long offset, uint value)
        {
            polls = 0;
            base.WriteDoubleWord(offset, value);
        }

        private int polls;
        private readonly SpringbokCore core;

        private const long FlagRegister = 0x18;
        private const uint ReceiveFifoEmpty = 1 << 4;
        private const int PollsBeforeSkipping = 16;
        private const uint SkippedMicroseconds = 50;
    }
}

namespace Antmicro.Renode.Peripherals.I2C
{
    // Renode's model of OpenCores' I2C controller, with what firmware for a real one needs besides: the prescaler, and
    // the bit that tells a device to send no more. While the core only asks a device for the same byte again and again,
    // virtual time goes on as it does at the UART. The model warns of a STOP that has nothing to write; here only one
    // without START is.
    public class SpringbokI2c : OpenCoresI2C, IBytePeripheral
    {
        public SpringbokI2c(IMachine machine, SpringbokCore core) : base(machine)
        {
            this.core = core;
        }

        public override void Reset()
        {
            base.Reset();
            prescaler[0] = prescaler[1] = 0xFF;
            control = transmit = received = 0;
            reads = false;
        }

        public new byte ReadByte(long offset)
        {
            switch(offset)
            {
            case PrescaleLow:
            case PrescaleHigh:
                return prescaler[offset / PrescaleHigh];
            case Data:
                return received;
            default:
                return base.ReadByte(offset);
            }
        }

        public new void WriteByte(long offset, byte value)
        {
            switch(offset)
            {
            case PrescaleLow:
            case PrescaleHigh:
                if((control & Enable) != 0)
                {
                    this.Log(LogLevel.Warning, "prescaler written while the controller is enabled");
                }
                prescaler[offset / PrescaleHigh] = value;
                break;
            case Control:
                control = value;
                base.WriteByte(offset, value);
                break;
            case Data:
                transmit = value;
                base.WriteByte(offset, value);
                break;
            case Command:
                Execute(value);
                break;
            default:
                base.WriteByte(offset, value);
                break;
            }
        }

        private void Execute(byte command)
        {
            if((command & Start) != 0)
            {
                reads = (transmit & 1) != 0;
            }
            var stops = (command & Stop) != 0 && (reads || (base.ReadByte(Command) & NoAnswer) != 0);
            base.WriteByte(Command, (byte)(command & ~(Last | (stops ? Stop : 0))));
            received = base.ReadByte(Data);
            if((command & Read) != 0)
            {
                SkipTimeIfPolling();
            }
            if(stops)
            {
                base.Reset();
                base.WriteByte(Control, control);
                reads = false;
            }
        }

        private void SkipTimeIfPolling()
        {
            polls = received == polled ? polls + 1 : 0;
            polled = received;
            if(polls > PollsBeforeSkipping && core.OnPossessedThread)
            {
                core.SkipTime(TimeInterval.FromMicroseconds(SkippedMicroseconds));
            }
        }

        private readonly byte[] prescaler = { 0xFF, 0xFF };
        private readonly SpringbokCore core;
        private int polls;
        private byte polled;
        private byte control;
        private byte transmit;
        private byte received;
        private bool reads;

        private const long PrescaleLow = 0x00;
        private const long PrescaleHigh = 0x04;
        private const long Control = 0x08;
        private const long Data = 0x0C;
        private const long Command = 0x10;
        private const byte Enable = 0x80;
        private const byte Start = 0x80;
        private const byte Stop = 0x40;
        private const byte Read = 0x20;
        private const byte Last = 0x08;
        private const byte NoAnswer = 0x80;
        private const int PollsBeforeSkipping = 16;
        private const uint SkippedMicroseconds = 500;
    }
}

namespace Antmicro.Renode.Logging
{
    // Warnings and errors of Renode's log; one that repeats is counted, not repeated.
    public static class SpringbokWarnings
    {
        public static void Take(LogEntry entry)
        {
            if(entry.Type != LogLevel.Warning && entry.Type != LogLevel.Error)
            {
                return;
            }
            var line = entry.ObjectName + ": " + entry.Message;
            lock(counts)
            {
                int count;
                counts.TryGetValue(line, out count);
                if(count > 0 || counts.Count < Limit)
                {
                    counts[line] = count + 1;
                }
            }
        }

        public static string Lines
        {
            get
            {
                lock(counts)
                {
                    return string.Join("\n", counts.Select(line => line.Value == 1 ? line.Key : line.Key + " (" + line.Value + " times)"));
                }
            }
        }

        public static void Clear()
        {
            lock(counts)
            {
                counts.Clear();
            }
        }

        public static LoggerBackend Backend
        {
            get { return backend ?? (backend = MakeBackend()); }
        }

        // A backend's one method takes an entry, and since August 2026 a kind of time too: no source has both forms, so
        // its class is made here, with whatever the method takes.
        private static LoggerBackend MakeBackend()
        {
            var name = new AssemblyName("SpringbokLog");
            var module = AssemblyBuilder.DefineDynamicAssembly(name, AssemblyBuilderAccess.Run).DefineDynamicModule(name.Name);
            var type = module.DefineType("SpringbokBackend", TypeAttributes.Public, typeof(LoggerBackend));
            var log = typeof(LoggerBackend).GetMethods().Single(method => method.Name == "Log" && method.IsAbstract);
            var operands = log.GetParameters().Select(parameter => parameter.ParameterType).ToArray();
            var made = type.DefineMethod("Log", MethodAttributes.Public | MethodAttributes.Virtual, typeof(void), operands);
            var code = made.GetILGenerator();
            code.Emit(OpCodes.Ldarg_1);
            code.Emit(OpCodes.Call, typeof(SpringbokWarnings).GetMethod("Take"));
            code.Emit(OpCodes.Ret);
            return (LoggerBackend)Activator.CreateInstance(type.CreateType());
        }

        private static LoggerBackend backend;
        private static readonly Dictionary<string, int> counts = new Dictionary<string, int>();

        private const int Limit = 100;
    }
}

namespace Antmicro.Renode.Backends.Terminals
{
    public static class Hex
    {
        public static byte[] ToBytes(string text)
        {
            var bytes = new byte[text.Length / 2];
            for(var i = 0; i < bytes.Length; i++)
            {
                bytes[i] = byte.Parse(text.Substring(2 * i, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            }
            return bytes;
        }
    }

    public static class SpringbokLineExtensions
    {
        public static void CreateSpringbokLine(this Emulation emulation, string name, bool listen = true)
        {
            emulation.ExternalsManager.AddExternal(new SpringbokLine(listen), name);
        }
    }

    // The outer end of the UART's line, in one of two ways: a TCP server on 127.0.0.1 for one client, on a port that the
    // system chooses; or, without a server, bytes that `Send` and `Receive` move while virtual time stands still.
    //
    // Like a serial cable: what the chip sends while no client is there is lost.
    [Transient]
    public class SpringbokLine : IExternal, IConnectable<IUART>, IDisposable
    {
        public SpringbokLine(bool listen)
        {
            if(!listen)
            {
                return;
            }
            listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start(4);
            sender = new Thread(SendToClient) { IsBackground = true, Name = "Springbok line, sending" };
            sender.Start();
            receiver = new Thread(ReceiveFromClients) { IsBackground = true, Name = "Springbok line, receiving" };
            receiver.Start();
        }

        public void AttachTo(IUART uart)
        {
            this.uart = uart;
            machine = uart.GetMachine();
            uart.CharReceived += TakeFromUart;
        }

        public void DetachFrom(IUART uart)
        {
            uart.CharReceived -= TakeFromUart;
            this.uart = null;
            machine = null;
        }

        public void Dispose()
        {
            isDisposed = true;
            if(listener != null)
            {
                listener.Stop();
                CloseClient();
                lock(fromUart)
                {
                    Monitor.PulseAll(fromUart);
                }
            }
        }

        public int Port
        {
            get { return listener == null ? 0 : ((IPEndPoint)listener.LocalEndpoint).Port; }
        }

        // In virtual time. `Receive` lets the emulation run, a slice after the other, until `count` bytes of the chip are
        // there or `milliseconds` of virtual time have passed; then everything stands still again.

        public void Send(string content)
        {
            Deliver(Hex.ToBytes(content));
        }

        public string Receive(int count, int milliseconds)
        {
            var emulation = EmulationManager.Instance.CurrentEmulation;
            for(; milliseconds > 0 && fromUart.Count < count; milliseconds--)
            {
                emulation.RunFor(TimeInterval.FromMilliseconds(1));
            }
            lock(fromUart)
            {
                return TakeReceived();
            }
        }

        private string TakeReceived()
        {
            var text = string.Concat(fromUart.Select(value => value.ToString("x2")));
            fromUart.Clear();
            return text;
        }

        private void TakeFromUart(byte value)
        {
            lock(fromUart)
            {
                if(listener != null && client == null)
                {
                    return;
                }
                fromUart.Enqueue(value);
                if(listener != null)
                {
                    Monitor.Pulse(fromUart);
                }
            }
        }

        private void Deliver(byte[] bytes)
        {
            foreach(var value in bytes)
            {
                uart.WriteChar(value);
            }
        }

        private void SendToClient()
        {
            while(!isDisposed)
            {
                byte[] bytes;
                lock(fromUart)
                {
                    while(fromUart.Count == 0 && !isDisposed)
                    {
                        Monitor.Wait(fromUart);
                    }
                    bytes = fromUart.ToArray();
                    fromUart.Clear();
                }
                try
                {
                    var stream = client == null ? null : client.GetStream();
                    if(stream != null)
                    {
                        stream.Write(bytes, 0, bytes.Length);
                    }
                }
                catch(Exception)
                {
                    // the client is gone: the receiving thread sees it too
                }
            }
        }

        private void ReceiveFromClients()
        {
            var buffer = new byte[4096];
            while(!isDisposed)
            {
                try
                {
                    var accepted = listener.AcceptTcpClient();
                    accepted.NoDelay = true;
                    lock(fromUart)
                    {
                        client = accepted;
                    }
                    var stream = accepted.GetStream();
                    for(int count; (count = stream.Read(buffer, 0, buffer.Length)) > 0;)
                    {
                        var bytes = new byte[count];
                        Array.Copy(buffer, bytes, count);
                        var target = machine;
                        if(target != null)
                        {
                            target.HandleTimeDomainEvent(Deliver, bytes, new TimeStamp(default(TimeInterval), EmulationManager.ExternalWorld));
                        }
                    }
                }
                catch(Exception)
                {
                    // the client is gone, or the server was stopped
                }
                CloseClient();
            }
        }

        private void CloseClient()
        {
            lock(fromUart)
            {
                fromUart.Clear();
                if(client != null)
                {
                    client.Close();
                    client = null;
                }
            }
        }

        private IUART uart;
        private IMachine machine;
        private TcpClient client;
        private volatile bool isDisposed;
        private readonly Queue<byte> fromUart = new Queue<byte>();
        private readonly TcpListener listener;
        private readonly Thread sender;
        private readonly Thread receiver;
    }
}
